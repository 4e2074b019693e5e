package fssharetest

import (
	"io/fs"
	"slices"
	"sync"
	"syscall"
	"time"
)

// NFS is a simulated file server by NFSv4.1, with its clients: wrong in the same
// ways as a real one with Linux clients. A client answers names, attributes and data
// from caches, sends what was written when a file is synced or closed, and learns
// there that the disk is full; the server gives locks away whose holder was silent
// for the lease, and the client goes on not knowing; a lost lock is an EIO.
//
// A client is a system for efsshare, whose own code runs on it, locks and all:
//
//	server := fssharetest.NewNFS(nil)
//	defer server.Close()
//	worker := server.Client("worker-1")
//	share, err := efsshare.Open(ctx, fssharetest.NFSDir, &efsshare.Options{System: worker})
//
// Its time is time.Now's, so that a test under testing/synctest waits for no lease.
// Nothing happens by itself: faults are methods, of the server and of the clients.
// It is safe for concurrent use.
//
// It returns what Linux 6.1 and knfsd return to random programs of two clients; the
// tests of efsshare compare them. What it does not have: symbolic links, permissions,
// locks of ranges longer than a byte and shorter than a file, O_DIRECT, delegations.
// Data is cached by the file, not by the page.
type NFS struct {
	opts  NFSOptions
	began time.Time

	mu      sync.Mutex
	changed chan struct{} // closed when calls that wait should try again
	root    *inode
	inodes  uint64
	changes uint64
	used    int64 // bytes
	refuse  syscall.Errno
	tear    bool
	down    bool
	gracing bool
	grace   time.Time // its end
	clients []*NFSClient
	closed  chan struct{} // by Close
}

// NFSDir is where the clients have the file system mounted.
const NFSDir = "/mnt/nfs"

// NFSOptions adjusts an NFS. A nil *NFSOptions means the zero value.
type NFSOptions struct {
	// Lease is how long the server keeps the locks of a silent client: 90 s if zero,
	// as Linux servers do.
	Lease time.Duration
	// Early is how much earlier the server gives locks away than it says: nfs-ganesha
	// counts in whole seconds.
	Early time.Duration
	// Grace is for how long a restarted server takes back the locks of those who
	// knew it before, and gives no others: as long as the lease if zero.
	Grace time.Duration
	// Courteous has the server keep the locks of a silent client until another wants
	// them, as knfsd does; otherwise they go when the lease ends.
	Courteous bool
	// Attributes of files are cached for FileMin at first, and for up to FileMax while
	// they do not change: 3 s and 60 s if zero. Those of directories, and with them
	// the names, for DirMin to DirMax: 30 s and 60 s if zero.
	FileMin, FileMax, DirMin, DirMax time.Duration
	// Size is how many bytes of data there is room for: 8 EiB, as on Amazon EFS, if zero.
	Size int64
	// LocksPerFile and LocksPerClient are quotas: 512 and 8192 if zero, as Amazon EFS
	// documents them.
	LocksPerFile, LocksPerClient int
}

// WithDefaults returns what an NFS acts on. It accepts a nil receiver.
func (o *NFSOptions) WithDefaults() NFSOptions {
	var opts NFSOptions
	if o != nil {
		opts = *o
	}
	for _, d := range []struct {
		field *time.Duration
		usual time.Duration
	}{
		{&opts.Lease, 90 * time.Second},
		{&opts.FileMin, 3 * time.Second},
		{&opts.FileMax, 60 * time.Second},
		{&opts.DirMin, 30 * time.Second},
		{&opts.DirMax, 60 * time.Second},
	} {
		if *d.field == 0 {
			*d.field = d.usual
		}
	}
	if opts.Grace == 0 {
		opts.Grace = opts.Lease
	}
	if opts.Size == 0 {
		opts.Size = 1<<63 - 1
	}
	if opts.LocksPerFile == 0 {
		opts.LocksPerFile = 512
	}
	if opts.LocksPerClient == 0 {
		opts.LocksPerClient = 8192
	}
	return opts
}

// NewNFS starts a server with an empty file system.
func NewNFS(opts *NFSOptions) *NFS {
	s := &NFS{opts: opts.WithDefaults(), began: time.Now(), changed: make(chan struct{}), closed: make(chan struct{})}
	s.root = s.newInode(fs.ModeDir | 0o777)
	s.root.links = 1
	return s
}

// Close ends all calls that wait, with EIO, and all those to come.
func (s *NFS) Close() {
	s.change(func() {
		if !s.isClosed() {
			close(s.closed)
		}
	})
}

func (s *NFS) isClosed() bool {
	select {
	case <-s.closed:
		return true
	default:
		return false
	}
}

// Client returns the machine of this name, which has the file system mounted at
// [NFSDir]. Each call with the same name returns the same one.
func (s *NFS) Client(name string) *NFSClient {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, c := range s.clients {
		if c.name == name {
			return c
		}
	}
	c := &NFSClient{server: s, name: name, renewed: time.Now(), caches: map[*inode]*cache{}, handles: map[*handle]bool{}, asides: map[*dentry]spot{}, calls: map[string]int{}}
	s.clients = append(s.clients, c)
	return c
}

// Stop stops the server: calls wait until [NFS.Start].
func (s *NFS) Stop() { s.change(func() { s.down = true }) }

// Start starts a stopped server again. In the period of grace that begins, clients
// that reach it have their locks again; new locks and new opens wait for its end.
func (s *NFS) Start() {
	s.change(func() {
		s.down, s.gracing, s.grace = false, true, time.Now().Add(s.opts.Grace)
		for _, c := range s.clients {
			c.reclaimed = false
		}
	})
}

// EndGrace ends the period of grace: what was not claimed is free.
func (s *NFS) EndGrace() { s.change(func() { s.grace = time.Now() }) }

// Refuse has the server answer writes with an error: ENOSPC, EDQUOT, or EIO, as
// Amazon EFS does when it may not use its key. 0 ends that.
func (s *NFS) Refuse(errno syscall.Errno) { s.change(func() { s.refuse = errno }) }

// Tear has the server stop in the midst of the next write: half of it is there, and the
// answer is EIO.
func (s *NFS) Tear() { s.change(func() { s.tear = true }) }

// Truth is what the server has at a path below the root, whatever clients believe;
// nil if it is no file.
func (s *NFS) Truth(path string) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.root
	for _, name := range elements(path) {
		if n = n.names[name]; n == nil {
			return nil
		}
	}
	if n.dir() {
		return nil
	}
	return append([]byte{}, n.data...)
}

// change makes a change of the world, after what had to happen before it.
func (s *NFS) change(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.settle()
	f()
	s.settle()
	close(s.changed)
	s.changed = make(chan struct{})
}

// settle does what time has brought since the last look. The caller holds s.mu.
func (s *NFS) settle() {
	now := time.Now()
	for _, c := range s.clients {
		if !c.reaches() {
			continue
		}
		// The kernel renews the lease when two thirds of it have passed in silence.
		if each := s.opts.Lease * 2 / 3; now.Sub(c.renewed) >= each {
			c.renewed = now.Add(-(now.Sub(c.renewed) % each))
		}
		if s.gracing && !c.reclaimed {
			c.reclaimed, c.renewed = true, now
		}
		for h := range c.handles {
			if h.killed {
				_ = c.flush(h.node) // nobody is there to be told
				c.drop(h)
			}
		}
	}
	if s.gracing && !now.Before(s.grace) {
		s.gracing = false
		for _, c := range s.clients {
			if !c.reclaimed {
				c.revoke()
			}
		}
	}
	for _, c := range s.clients {
		if !s.opts.Courteous && c.silent(now) {
			c.revoke()
		}
	}
}

// An inode is a file or directory of the server. Its fields are guarded by the
// server's mutex, as are those of everything below.
type inode struct {
	number        uint64
	mode          fs.FileMode
	data          []byte
	names         map[string]*inode
	links         int
	opens         int
	gone          bool // the server has forgotten it
	change        uint64
	modified, was time.Time // of the data, and of the attributes
	locks         []serverLock
}

func (n *inode) dir() bool { return n.mode.IsDir() }

func (s *NFS) newInode(mode fs.FileMode) *inode {
	s.inodes++
	n := &inode{number: s.inodes, mode: mode}
	if n.dir() {
		n.names = map[string]*inode{}
	}
	s.modify(n)
	return n
}

// touch notes a change of the attributes.
func (s *NFS) touch(n *inode) {
	s.changes++
	n.change, n.was = s.changes, time.Now()
}

// modify notes a change of the data.
func (s *NFS) modify(n *inode) {
	s.touch(n)
	n.modified = n.was
}

// free forgets what has no name and is not open.
func (s *NFS) free(n *inode) {
	if n.links == 0 && n.opens == 0 && !n.gone {
		n.gone = true
		s.used -= int64(len(n.data))
	}
}

func (s *NFS) unlink(at spot) {
	n := at.dir.names[at.name]
	delete(at.dir.names, at.name)
	s.modify(at.dir)
	n.links--
	s.touch(n)
	s.free(n)
}

func (s *NFS) put(at spot, n *inode) {
	if at.dir.names[at.name] != nil {
		s.unlink(at)
	}
	at.dir.names[at.name] = n
	n.links++
	s.modify(at.dir)
	s.touch(n)
}

// write puts data at off, or returns what keeps the server from that.
func (s *NFS) write(n *inode, data []byte, off int64) error {
	if s.refuse != 0 {
		return s.refuse
	}
	var torn error
	if s.tear {
		s.tear, torn = false, syscall.EIO
		data = data[:len(data)/2]
	}
	if err := s.resize(n, max(int64(len(n.data)), off+int64(len(data)))); err != nil {
		return err
	}
	copy(n.data[off:], data)
	s.modify(n)
	return torn
}

func (s *NFS) resize(n *inode, size int64) error {
	grows := size - int64(len(n.data))
	if grows > 0 && s.used > s.opts.Size-grows {
		return syscall.ENOSPC
	}
	s.used += grows
	n.data = slices.Grow(n.data, int(max(0, grows)))
	old := len(n.data)
	n.data = n.data[:size]
	clear(n.data[min(old, len(n.data)):])
	s.modify(n)
	return nil
}
