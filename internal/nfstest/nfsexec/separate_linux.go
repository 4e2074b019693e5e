package main

import (
	"os/exec"
	"syscall"
)

// separate puts the keeper in a process group of its own: an interrupt from the
// terminal is the front's to see.
func separate(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
