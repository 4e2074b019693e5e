//go:build unix && !linux

package servers

import (
	"os/exec"
	"syscall"
)

func tie(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

func listeners(int) ([]listener, bool) { return nil, false }

func peak(int) int { return 0 }
