//go:build !invariants

// Package invariants switches costly checks on with the build tag "invariants". Enabled is
// a constant, so that checks under it vanish from normal builds.
package invariants

// Enabled tells whether this build checks invariants.
const Enabled = false
