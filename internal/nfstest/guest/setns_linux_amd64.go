package guest

const sysSetns = 308 // absent from package syscall on this architecture alone
