//go:build !linux

package nfstest

import "testing"

// Clients skips the test: there is no guest on this operating system.
func Clients(tb testing.TB) []Client {
	tb.Helper()
	skipOutside(tb)
	tb.Fatal("there is no NFS guest on this operating system")
	return nil
}
