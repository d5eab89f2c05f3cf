package main

// The stores of all providers, so that every location can be opened.
import _ "github.com/slatedb/slatedb-go/objstore/all"
