//go:build linux

package main

import (
	"os"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/internal/nfstest"
)

// both runs the selftest on two machines, which have the same folder at dirs.
func both(t *testing.T, dirs [2]string, forA ...string) (outs [2]string, errs [2]error) {
	t.Helper()
	var wg sync.WaitGroup
	for i, role := range []string{"a", "b"} {
		wg.Go(func() {
			args := []string{"selftest", role, "--turns=20", "--locks=100", "--timeout=2m"}
			if role == "a" {
				args = append(args, forA...)
			}
			outs[i], _, errs[i] = share(t, dirs[i], "", args...)
		})
	}
	wg.Wait()
	t.Logf("a:\n%s%v\nb:\n%s%v", outs[0], errs[0], outs[1], errs[1])
	return outs, errs
}

func TestSelftestFindsALocalDirectoryWrongAndTheRestRight(t *testing.T) {
	if nfstest.InGuest() {
		t.Skip("the guest is for NFS")
	}
	dir := t.TempDir()
	outs, errs := both(t, [2]string{dir, dir})
	for i, out := range outs {
		require.ErrorContains(t, errs[i], "1 things are wrong")
		require.Regexp(t, `(?m)^WRONG mount .*a local file system`, out)
		require.Equal(t, 6, strings.Count("\n"+out, "\nok "), out)
		require.Contains(t, out, "40 of 40 turns counted, token 40")
	}
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, left, 1, "the folder of locks alone")
}

func TestSelftestNeedsAFolderOfItsOwn(t *testing.T) {
	dir := t.TempDir()
	_, _, err := share(t, dir, "x", "put", "selftest/a/meeting")
	require.NoError(t, err)
	_, code, err := share(t, dir, "", "selftest", "a")
	require.ErrorContains(t, err, "another --folder")
	require.Equal(t, 1, code)
	_, code, err = share(t, dir, "", "selftest", "c")
	require.Error(t, err)
	require.Equal(t, 2, code)
}

func TestNFSSelftestOnTwoMachines(t *testing.T) {
	clients := nfstest.Clients(t)
	self, err := os.Executable()
	require.NoError(t, err)
	wire := func(do string) string { return "SHARE_TEST_WIRE=" + do + " " + self + " -test.run=^TestWireHelper$" }
	outs, errs := both(t, [2]string{clients[0].Dir, clients[1].Dir}, "--cut="+wire("cut"), "--mend="+wire("mend"))
	for i, out := range outs {
		require.NoError(t, errs[i])
		require.Equal(t, 7, strings.Count("\n"+out, "\nok "), out)
		require.Contains(t, out, "lease 10s")
		require.Contains(t, out, "40 of 40 turns counted, token 40")
	}
	require.Regexp(t, `the loss was reported .* before another could have the lock; the stale commit: commit under lock .* lock lost`, outs[0])
	require.Contains(t, outs[1], `then it holds "b"`)
}

// TestWireHelper is the command that cuts the first client off, and the one that
// mends its wire.
func TestWireHelper(t *testing.T) {
	first := nfstest.Client{Number: 1}
	switch os.Getenv("SHARE_TEST_WIRE") {
	case "cut":
		require.NoError(t, first.Cut())
	case "mend":
		require.NoError(t, first.Mend())
	default:
		t.Skip("a command of another test")
	}
}
