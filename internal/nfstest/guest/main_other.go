//go:build !linux

package guest

// IsInit reports false: the guest is a Linux kernel.
func IsInit() bool { return false }

// Main does nothing: no process of this operating system is a guest's.
func Main() {}
