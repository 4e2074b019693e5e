package fssharetest

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"strings"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// NFSClient is a machine that has the file system of an [NFS] mounted. It is what
// efsshare.Options.System asks for.
type NFSClient struct {
	server *NFS
	name   string

	cut, frozen bool
	readOnly    bool
	unheard     bool // the answer to the next change of a name is lost
	delay       time.Duration
	renewed     time.Time // when the server last heard of it
	reclaimed   bool      // since the server's restart
	revoked     bool      // the server took its locks, and it has not noticed
	caches      map[*inode]*cache
	handles     map[*handle]bool
	asides      map[*dentry]spot // names of files that were removed while open
	calls       map[string]int
	asked       int // remote calls of the operation under way
}

var _ kernel.System = (*NFSClient)(nil)

// Cut takes the machine off the network: calls that need the server wait.
func (c *NFSClient) Cut() { c.server.change(func() { c.cut = true }) }

// Mend puts it on the network again.
func (c *NFSClient) Mend() { c.server.change(func() { c.cut = false }) }

// Freeze stops the machine, as Lambda does between invocations: every call waits,
// also one that asks for the time, and nothing renews its lease.
func (c *NFSClient) Freeze() { c.server.change(func() { c.frozen = true }) }

// Thaw lets it go on.
func (c *NFSClient) Thaw() { c.server.change(func() { c.frozen = false }) }

// Expire has the server take all locks of the machine, at once, as if it had been
// silent for the lease.
func (c *NFSClient) Expire() { c.server.change(c.revoke) }

// Delay is what each call to the server takes from now on.
func (c *NFSClient) Delay(d time.Duration) { c.server.change(func() { c.delay = d }) }

// Kill ends the machine's program: its files are closed, and what it had locked is
// free as soon as the server hears of that.
func (c *NFSClient) Kill() {
	c.server.change(func() {
		for h := range c.handles {
			h.closed, h.killed = true, true
		}
	})
}

// ReadOnly has the machine's mount for reading only, or not: what would change a file
// or a name is EROFS.
func (c *NFSClient) ReadOnly(readOnly bool) {
	c.server.change(func() { c.readOnly = readOnly })
}

// LoseAnswer loses the answer to the machine's next rename, link or removal, which the
// kernel then sends again, to a server that keeps no answers and says that it cannot
// be done: it was done already.
func (c *NFSClient) LoseAnswer() { c.server.change(func() { c.unheard = true }) }

// heard is what the client hears of a change of a name that was made.
func (c *NFSClient) heard(again error) error {
	if !c.unheard {
		return nil
	}
	c.unheard = false
	return again
}

// writing is EROFS on a mount for reading only.
func (c *NFSClient) writing() error {
	if c.readOnly {
		return syscall.EROFS
	}
	return nil
}

// Calls is how often the machine has asked the server what, by the names of its
// protocol: LOOKUP, OPEN, GETATTR, READ, WRITE, LOCK, LOCKU, …
func (c *NFSClient) Calls() map[string]int {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return maps.Clone(c.calls)
}

// Files is how many files and directories the machine has open.
func (c *NFSClient) Files() int {
	c.server.mu.Lock()
	defer c.server.mu.Unlock()
	return len(c.handles)
}

// reaches reports whether a call would be answered now.
func (c *NFSClient) reaches() bool { return !c.cut && !c.frozen && !c.server.down }

// silent reports whether the server may give the client's locks away.
func (c *NFSClient) silent(now time.Time) bool {
	s := c.server
	return !s.down && !s.gracing && now.Sub(c.renewed) > s.opts.Lease-s.opts.Early
}

// revoke has the server forget what the client has locked and open.
func (c *NFSClient) revoke() {
	for h := range c.handles {
		h.forget()
		c.revoked = true
	}
}

var (
	errWait  = errors.New("try again when the world has changed") // never leaves run
	errGrace = errors.New("try again when the grace has ended")
)

// run makes f, again and again while it returns that it has to wait, until given up.
// What f does before it first asks the server it must be able to do again.
func (c *NFSClient) run(givenUp <-chan struct{}, f func() error) error {
	s := c.server
	for {
		s.mu.Lock()
		err := errWait
		c.asked = 0
		switch {
		case s.isClosed():
			err = syscall.EIO
		case !c.frozen:
			s.settle()
			err = f()
		}
		changed, lasts, grace := s.changed, time.Duration(c.asked)*c.delay, time.Until(s.grace)
		s.mu.Unlock()
		var timer *time.Timer
		switch {
		case errors.Is(err, errGrace):
			timer = time.NewTimer(grace)
		case errors.Is(err, errWait):
			timer = time.NewTimer(time.Hour) // there is no hurry
		case lasts > 0:
			timer = time.NewTimer(lasts)
			select {
			case <-timer.C:
			case <-s.closed:
			case <-givenUp:
			}
			return err
		default:
			return err
		}
		select {
		case <-changed:
		case <-timer.C:
		case <-givenUp:
			timer.Stop()
			return context.Canceled
		}
		timer.Stop()
	}
}

// do is run without an end, as the calls of a mount that is hard have none.
func (c *NFSClient) do(f func() error) error { return c.run(nil, f) }

// ask is a call to the server, or says that there is none to be had. A client whose
// locks were taken learns it by the answer.
func (c *NFSClient) ask(what string) error {
	if !c.reaches() {
		return errWait
	}
	c.calls[what]++
	c.asked++
	c.renewed = time.Now()
	if c.revoked {
		c.revoked = false
		for h := range c.handles {
			h.recover()
		}
	}
	return nil
}

// recover opens a file again that the server has forgotten to be open. Its locks are
// not taken again.
func (h *handle) recover() {
	h.lost = h.lost || len(h.held) > 0
	switch {
	case h.opened:
	case h.node.gone:
		h.dead = true
	default:
		h.opened = true
		h.node.opens++
		h.client.learn(h.node)
	}
}

// askNew is ask for what a server in its period of grace does not give.
func (c *NFSClient) askNew(what string) error {
	if c.reaches() && c.server.gracing {
		return errGrace
	}
	return c.ask(what)
}

// SinceBoot implements kernel.System.
func (c *NFSClient) SinceBoot() (since time.Duration, err error) {
	err = c.do(func() error {
		since = time.Since(c.server.began) + time.Hour
		return nil
	})
	return since, err
}

// Size implements kernel.System.
func (c *NFSClient) Size(ctx context.Context, dir string) (float64, error) {
	if _, err := below(dir); err != nil {
		return 0, err
	}
	err := c.run(ctx.Done(), func() error { return c.ask("STATFS") })
	return float64(c.server.opts.Size), err
}

// Tables implements kernel.System.
func (c *NFSClient) Tables() fs.FS {
	var silent time.Duration
	access := "rw"
	if err := c.do(func() error {
		if c.readOnly {
			access = "ro"
		}
		silent = max(0, time.Since(c.renewed)-c.server.opts.Lease)
		return nil
	}); err != nil {
		return fstest.MapFS{}
	}
	o := c.server.opts
	options := fmt.Sprintf("%s,vers=4.1,rsize=1048576,wsize=1048576,acregmin=%d,acregmax=%d,acdirmin=%d,acdirmax=%d,hard,noresvport,proto=tcp,timeo=600,retrans=2,local_lock=none",
		access, seconds(o.FileMin), seconds(o.FileMax), seconds(o.DirMin), seconds(o.DirMax))
	tables := fstest.MapFS{}
	for name, text := range map[string]string{
		"proc/self/mountinfo":                          fmt.Sprintf("20 1 0:20 / / rw - ext4 /dev/root rw\n30 20 0:40 / %s %s - nfs4 server:/ %s\n", NFSDir, access, options),
		"proc/self/mountstats":                         fmt.Sprintf("device server:/ mounted on %s with fstype nfs4 statvers=1.1\n\tnfsv4:\tlease_time=%d,lease_expired=%d\n", NFSDir, seconds(o.Lease), seconds(silent)),
		"proc/sys/kernel/hostname":                     c.name + "\n",
		"sys/module/nfs/parameters/recover_lost_locks": "N\n",
	} {
		tables[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tables
}

func seconds(d time.Duration) int64 { return int64(d / time.Second) }

// below is the path of a directory below the mount point.
func below(dir string) (string, error) {
	dir = path.Clean(dir)
	if rest, ok := strings.CutPrefix(dir, NFSDir); ok && (rest == "" || rest[0] == '/') {
		return strings.Trim(rest, "/"), nil
	}
	return "", &fs.PathError{Op: "open", Path: dir, Err: syscall.ENOENT}
}

// Open implements kernel.System. It opens what is below [NFSDir], and makes it if it
// is not there.
func (c *NFSClient) Open(dir string) (kernel.Root, string, error) {
	rest, err := below(dir)
	if err != nil {
		return nil, "", err
	}
	top := &nfsRoot{client: c, node: c.server.root}
	err = c.do(func() error { return c.openDir(top.node) })
	if err != nil || rest == "" {
		return top, path.Clean(dir), err
	}
	if err := top.MkdirAll(rest, 0o777); err != nil {
		return nil, "", err
	}
	root, err := top.OpenRoot(rest)
	return root, path.Clean(dir), err
}

// A cache is what a client believes of a file or directory.
type cache struct {
	known  bool
	attr   attributes
	until  time.Time // from then on the server is asked
	period time.Duration

	page   []byte // the data, if paged
	paged  bool
	later  bool // the data is old, and dropped when no writer has the file open
	dirty  []extent
	failed error // of a write that was sent late, for those who sync
	fails  int
	unseen bool // nobody has synced since, and so each who closes is told

	times    bool // the times are not known, after a change or a read of the client's own
	verifier int  // names with another are not believed
	names    map[string]*dentry
	list     []string // of the directory, if listed
	listed   bool
	allowed  bool // to look for names in it, as far as is known
}

type attributes struct {
	size          int64
	mode          fs.FileMode
	links         int
	change        uint64
	modified, was time.Time
}

type extent struct {
	off  int64
	data []byte
	by   *handle
}

// A spot is where a name is, or may be.
type spot struct {
	dir  *inode
	name string
}

// A dentry is what a client believes of a name.
type dentry struct {
	node     *inode // nil: there is none
	verifier int
}

func (c *NFSClient) cache(n *inode) *cache {
	k := c.caches[n]
	if k == nil {
		k = &cache{names: map[string]*dentry{}}
		c.caches[n] = k
	}
	return k
}

// learn takes the server's attributes. Another's change drops what is cached.
func (c *NFSClient) learn(n *inode) {
	k, o := c.cache(n), c.server.opts
	least, most := o.FileMin, o.FileMax
	if n.dir() {
		least, most = o.DirMin, o.DirMax
	}
	now := time.Now()
	switch {
	case !k.known:
		k.period = least
	case k.attr.change != n.change:
		k.period = least
		k.verifier++
		k.listed, k.allowed = false, false
		if c.writes(n) {
			k.later = true
		} else {
			k.paged = false
		}
	case !now.Before(k.until):
		k.period = min(2*k.period, most)
	}
	c.note(n)
	k.times = false
	k.until = now.Add(k.period)
}

// note takes the server's attributes after a change of the client's own.
func (c *NFSClient) note(n *inode) {
	k := c.cache(n)
	k.known = true
	k.attr = attributes{int64(len(n.data)), n.mode, n.links, n.change, n.modified, n.was}
}

// mine makes a change to a directory. If it was as the client knew it, its names
// stay believed.
func (c *NFSClient) mine(dir *inode, change func()) {
	if c.unheard { // of what the directory is now, too
		change()
		return
	}
	k := c.cache(dir)
	as := k.known && k.attr.change == dir.change
	change()
	c.note(dir)
	k.times, k.listed = true, false
	if !as {
		k.verifier++
		k.allowed = false
		k.until = time.Now().Add(c.server.opts.DirMin)
	}
}

// writes reports whether the client has the file open for writing.
func (c *NFSClient) writes(n *inode) bool {
	for h := range c.handles {
		if h.node == n && h.writable() {
			return true
		}
	}
	return false
}

// opens reports whether the client has the file open, by whatever name.
func (c *NFSClient) opens(n *inode) bool {
	for h := range c.handles {
		if h.node == n {
			return true
		}
	}
	return false
}

// fresh has attributes that are not too old.
func (c *NFSClient) fresh(n *inode) error {
	if k := c.cache(n); k.known && time.Now().Before(k.until) {
		return nil
	}
	return c.getattr(n)
}

// openDir opens a directory: that asks for its attributes, and for the right to look
// for names in it.
func (c *NFSClient) openDir(n *inode) error {
	err := c.getattr(n)
	if err == nil {
		c.cache(n).allowed = true
	}
	return err
}

// freshTimes is fresh for who looks at the times.
func (c *NFSClient) freshTimes(n *inode) error {
	if c.cache(n).times {
		return c.getattr(n)
	}
	return c.fresh(n)
}

func (c *NFSClient) getattr(n *inode) error {
	if err := c.ask("GETATTR"); err != nil {
		return err
	}
	if n.gone {
		return syscall.ESTALE
	}
	c.learn(n)
	return nil
}

// info is what the client believes.
func (c *NFSClient) info(n *inode, name string) fs.FileInfo {
	k := c.cache(n)
	a := k.attr
	for _, e := range k.dirty {
		a.size = max(a.size, e.off+int64(len(e.data)))
	}
	return nfsInfo{path.Base(name), a, kernel.ID{Dev: 40, Ino: n.number, Size: a.size, Modified: a.modified.UnixNano(), Made: a.was.UnixNano()}}
}

type nfsInfo struct {
	name string
	attr attributes
	id   kernel.ID
}

func (i nfsInfo) Name() string       { return i.name }
func (i nfsInfo) Size() int64        { return i.attr.size }
func (i nfsInfo) Mode() fs.FileMode  { return i.attr.mode }
func (i nfsInfo) ModTime() time.Time { return i.attr.modified }
func (i nfsInfo) IsDir() bool        { return i.attr.mode.IsDir() }
func (i nfsInfo) Sys() any           { return &i.id }

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &fs.PathError{Op: op, Path: name, Err: err}
}

func elements(name string) []string {
	if name == "." || name == "" {
		return nil
	}
	return strings.Split(name, "/")
}

// valid says why a name is none.
func valid(name string) error {
	const longest = 255
	if !fs.ValidPath(name) {
		return errors.New("path escapes from parent")
	}
	for _, e := range elements(name) {
		if len(e) > longest {
			return syscall.ENAMETOOLONG
		}
	}
	return nil
}
