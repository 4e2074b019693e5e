//go:build linux

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func share(t *testing.T, dir, in string, args ...string) (out string, code int, err error) {
	t.Helper()
	var stdout, stderr bytes.Buffer
	code, err = run(t.Context(), append([]string{"--dir", dir}, args...), streams{strings.NewReader(in), &stdout, &stderr})
	return stdout.String(), code, err
}

func TestAFileIsPutAndGot(t *testing.T) {
	dir := t.TempDir()
	out, code, err := share(t, dir, "hello", "put", "a/file")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Equal(t, "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824  a/file\n", out)
	_, code, err = share(t, dir, "again", "put", "--must-make", "a/file")
	require.ErrorContains(t, err, "conflict")
	require.Equal(t, 1, code)
	out, _, err = share(t, dir, "", "get", "a/file")
	require.NoError(t, err)
	require.Equal(t, "hello", out)
	out, _, err = share(t, dir, "", "watch", "--count=1", "a/file")
	require.NoError(t, err)
	require.Contains(t, out, "2cf24dba")
	_, code, err = share(t, dir, "", "get", "../file")
	require.ErrorContains(t, err, "invalid")
	require.Equal(t, 1, code)
}

func TestAProgramRunsUnderALock(t *testing.T) {
	dir := t.TempDir()
	out, _, err := share(t, dir, "", "who", "publish")
	require.NoError(t, err)
	require.Equal(t, "never held\n", out)
	// The program asks for the lock that it runs under.
	self, err := os.Executable()
	require.NoError(t, err)
	t.Setenv("SHARE_TEST_DIR", dir)
	out, code, err := share(t, dir, "", "lock", "--purpose=nightly", "publish", "--", self, "-test.run=^TestHelper$")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Contains(t, out, "token 1: held, last exclusively by ")
	require.Contains(t, out, `"nightly", token 1, since `)
	require.Contains(t, out, "held or waited for by another")
	out, _, err = share(t, dir, "", "who", "publish")
	require.NoError(t, err)
	require.Contains(t, out, "free, last held by ")
	_, code, err = share(t, dir, "", "lock", "publish", "--", "sh", "-c", "exit 7")
	require.NoError(t, err)
	require.Equal(t, 7, code)
}

func TestHelper(t *testing.T) {
	dir := os.Getenv("SHARE_TEST_DIR")
	if dir == "" {
		t.Skip("the program of another test")
	}
	out, _, err := share(t, dir, "", "who", "publish")
	require.NoError(t, err)
	_, err = os.Stdout.WriteString("token " + os.Getenv("SHARE_TOKEN") + ": " + out)
	require.NoError(t, err)
	_, code, err := share(t, dir, "", "lock", "--wait=50ms", "publish", "--", "true")
	require.Error(t, err)
	require.Equal(t, 1, code)
	_, err = os.Stdout.WriteString(err.Error() + "\n")
	require.NoError(t, err)
}

func TestDoctorSaysThatALocalDirectoryIsNoShare(t *testing.T) {
	dir := t.TempDir()
	out, code, err := share(t, dir, "", "doctor", "--probe")
	require.NoError(t, err)
	require.Zero(t, code)
	require.Contains(t, out, "DANGER type: ")
	require.Contains(t, out, filepath.Base(dir))
	_, _, err = share(t, dir, "", "--nfs", "doctor")
	require.ErrorContains(t, err, "is the file system mounted?")
}
