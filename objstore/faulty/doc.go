// Package faulty breaks a store by script, for tests.
//
//	s := faulty.New(objstore.NewMemory(), nil)
//	s.Script(faulty.Rule{Method: "put", Key: "manifest/", Nth: 2, Kind: faulty.ErrorAfter})
//	s.CrashAt(7, true) // the seventh request from now takes effect and is never answered
//
// Each request goes through the rules in the order they were scripted; the first that
// matches decides it. A Store is one handle on what is below: when it crashes, another
// Store around the same inner one plays the next process.
//
// Safe for concurrent use, scripting included. With env, time and goroutines go through its
// seams, so that all of it runs in a synctest bubble or a simulation.
package faulty
