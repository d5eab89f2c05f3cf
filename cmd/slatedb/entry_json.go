package main

import (
	"encoding/hex"
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/slatedb/slatedb-go"
)

// entryJSON is how --json shows an entry: one line. Bytes that are no UTF-8 stand in hex
// under another name.
type entryJSON struct {
	Key        *string    `json:"key,omitempty"`
	KeyHex     string     `json:"key_hex,omitempty"`
	Value      *string    `json:"value,omitempty"`
	ValueHex   string     `json:"value_hex,omitempty"`
	Seq        uint64     `json:"seq"`
	CreateTime *time.Time `json:"create_time,omitempty"`
	ExpireTime *time.Time `json:"expire_time,omitempty"`
}

func marshalEntry(e slatedb.Entry, withValue, asHex bool) ([]byte, error) {
	return json.Marshal(entryOf(e, withValue, asHex))
}

func entryOf(e slatedb.Entry, withValue, asHex bool) entryJSON {
	j := entryJSON{Seq: e.Seq}
	text := func(b []byte) *string { s := string(b); return &s }
	if utf8.Valid(e.Key) {
		j.Key = text(e.Key)
	} else {
		j.KeyHex = hex.EncodeToString(e.Key)
	}
	switch {
	case !withValue:
	case utf8.Valid(e.Value) && !asHex:
		j.Value = text(e.Value)
	default:
		j.ValueHex = hex.EncodeToString(e.Value)
	}
	j.CreateTime, j.ExpireTime = timePtr(e.CreateTime), timePtr(e.ExpireTime)
	return j
}
