// Package guest is the first process of the NFS guest: it makes a Linux kernel
// that has just booted into an NFSv4.1 server and two clients, runs one program
// in their midst, and switches the machine off. A second kernel, on a wire to the
// first, it makes into one more client.
//
// The program is the caller of [Main], in its second life as process 1: server,
// clients, wires and modules are set up by system calls alone, so that the guest
// needs no program and no file of the host but the one it runs, and nfs-ganesha
// where that is the server.
package guest

import "time"

// The guest's file tree is the host's, read-only, with the guest's own folder
// mounted on Root. What the host has there is mounted again below it.
const (
	Root   = "/mnt"
	Export = Root + "/export" // the exported file system, as the server sees it
	Temp   = Root + "/tmp"    // the program's TMPDIR

	host     = Root + "/nfstest.host" // the job's folder on the host, writable
	netns    = Root + "/nfstest.netns"
	recovery = Root + "/nfstest.recovery"
	socket   = Root + "/nfstest.socket"
)

// The environment that carries a job: JobFolder from the host to process 1, on
// the kernel's command line; Inside, with the server's name, from process 1 to the
// program.
const (
	JobFolder = "GENAISTORE_NFS_JOB"
	Inside    = "GENAISTORE_NFS_GUEST"
)

// Files in the job's folder.
const (
	JobFile    = "job.json"    // a Job, written by the host
	ResultFile = "result.json" // a Result, written by the guest
)

// The servers.
const (
	Knfsd   = "knfsd"
	Ganesha = "ganesha"
)

// Job is what the host asks of a guest.
type Job struct {
	Args     []string // the program and its arguments
	Dir      string   // its working directory
	Env      []string
	User     int      // whom it runs as, if not root; then the export squashes root
	Writable []string // folders of the host that the program may write to
	Modules  string   // folder of the kernel's modules, on the host
	Server   string   // Knfsd or Ganesha
	Packages string   // folder of Ganesha, on the host
	Lease    time.Duration
	Grace    time.Duration
	Client   bool // there is no server here, but one more client of that at the other end of the wire
}

// Result is what a guest says at its end.
type Result struct {
	ExitCode int           // of the program; 128 + n if signal n ended it
	Error    string        // why the program could not be run at all
	Ready    time.Duration // from the start of the kernel to the start of the program
}
