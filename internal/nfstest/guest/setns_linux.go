//go:build !amd64 && !386

package guest

import "syscall"

const sysSetns = syscall.SYS_SETNS
