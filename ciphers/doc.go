// Package ciphers encrypts the blocks of a database: a Ring of keys is an
// Options.BlockTransformer. Every process that reads tables or the log needs a ring with the
// same keys.
//
//	Encode: plain section ─▶ [ magic 4 | key id 4 | nonce 24 | ciphertext | tag 16 ]
//	                           └─ associated data ┘    └─ subkey = f(key, nonce[:12]),
//	                                                      AES-256-GCM(subkey, nonce[12:])
//
// The algorithm is XAES-256-GCM (C2SP), made of AES-256-GCM and CMAC of the standard library.
// Plain AES-256-GCM has 96 bits of nonce: drawn at random they may serve one key for at most
// 2^32 sections, which is 16 TiB in blocks of 4 KiB, over all processes and the whole life of
// the key, and nobody counts. With 192 bits, of which the first half makes a key of its own, no
// database reaches a limit. Deriving per object is not possible: a transformer is not told what
// object its section will stand in.
//
// # Nonces
//
// Both halves come from Options.Rand, by default the system's random source. The second half is
// drawn for every section. The first is drawn anew every 65,536 sections, so that the work of
// deriving a key is not done for each; the bytes stored are those of any XAES-256-GCM. The
// chance that a nonce repeats is below 2^-32 up to 2^48 sections a key, which is an exbibyte in
// blocks of 4 KiB. Nothing is counted, so copies of a process or of a virtual machine do no harm
// as long as their random source differs.
//
// # What it protects
//
// Content and integrity of each section: keys, values, filters, indexes and statistics in tables
// and log. It does not hide manifests, .compactions objects, the metadata of a table (which has
// its first and last key), sizes, times and names of objects. A section is bound to its key
// and not to its place, which a transformer does not know: somebody who can write to the store
// can put one section in the place of another, of this or of another object under the same key,
// or bring back an old object.
//
// A Ring may be used from any number of goroutines. It never changes nor keeps its argument.
package ciphers
