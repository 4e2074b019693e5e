package efsshare_test

import (
	"os"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// The numbers of calls and commands that are answered by the kernel as a test says.
const (
	sysFcntl     = 72
	sysFsync     = 74
	sysFdatasync = 75
)

// An answer is what the kernel returns for a call without making it, in this process
// from now on. Zero is success.
type answer struct {
	call    uint32
	command uint32 // the call's second argument; any if zero
	errno   syscall.Errno
}

// answerCalls has the kernel answer calls, by a filter that cannot be taken off: it
// is for processes of their own.
func answerCalls(t *testing.T, answers ...answer) {
	t.Helper()
	const (
		load, jumpEqual, give = 0x20, 0x15, 0x06
		allow, fail           = 0x7fff0000, 0x00050000
		number, second        = 0, 24 // where they are in what a filter looks at
	)
	type instruction struct {
		code   uint16
		yes    uint8
		no     uint8
		number uint32
	}
	var filter []instruction
	for _, a := range answers {
		if a.command == 0 {
			filter = append(filter, instruction{load, 0, 0, number}, instruction{jumpEqual, 0, 1, a.call}, instruction{give, 0, 0, fail | uint32(a.errno)})
			continue
		}
		filter = append(filter, instruction{load, 0, 0, number}, instruction{jumpEqual, 0, 3, a.call},
			instruction{load, 0, 0, second}, instruction{jumpEqual, 0, 1, a.command}, instruction{give, 0, 0, fail | uint32(a.errno)})
	}
	filter = append(filter, instruction{give, 0, 0, allow})
	program := struct {
		length uint16
		filter *instruction
	}{uint16(len(filter)), &filter[0]}

	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const noNewPrivileges, seccomp, setFilter, allThreads = 38, 317, 1, 1
	_, _, errno := syscall.RawSyscall6(syscall.SYS_PRCTL, noNewPrivileges, 1, 0, 0, 0, 0)
	require.Zero(t, errno)
	r, _, errno := syscall.RawSyscall(seccomp, setFilter, allThreads, uintptr(unsafe.Pointer(&program)))
	require.Zero(t, errno)
	require.Zero(t, r)
}

// apart has TestRefusedHelper do something in a process of its own, and requires that
// it passes there.
func apart(t *testing.T, do string, env ...string) {
	t.Helper()
	cmd, lines := helperOf(t.Context(), t, "TestRefusedHelper", append(env, "EFS_APART="+do)...)
	passed := false
	for lines.Scan() {
		passed = passed || lines.Text() == "PASS"
		t.Log(lines.Text())
	}
	require.NoError(t, cmd.Wait())
	require.True(t, passed)
}

// inApart says what to do to the process that apart started, and skips the test in
// every other one.
func inApart(t *testing.T) string {
	t.Helper()
	do := os.Getenv("EFS_APART")
	if do == "" {
		t.Skip("a process of other tests")
	}
	return do
}
