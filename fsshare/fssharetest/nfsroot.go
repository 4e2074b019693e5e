package fssharetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// An nfsRoot is an open directory, below which names are.
type nfsRoot struct {
	client *NFSClient
	node   *inode
	closed bool
}

// step is a call of a root about a name.
func (r *nfsRoot) step(op, name string, f func() error) error {
	err := valid(name)
	if err == nil {
		err = r.client.do(func() error {
			if r.closed {
				return os.ErrClosed
			}
			return f()
		})
	}
	return pathError(op, name, err)
}

// lookup finds a name in a directory: from the cache if the directory is as it was,
// as far as the client knows. The answer may be old: [NFSClient.lookupAgain] finds the new one.
func (c *NFSClient) lookup(dir *inode, name string) (n *inode, cached bool, err error) {
	if !dir.dir() {
		return nil, false, syscall.ENOTDIR
	}
	if err := c.fresh(dir); err != nil {
		return nil, false, err
	}
	k := c.cache(dir)
	if d, ok := k.names[name]; ok && d.verifier == k.verifier {
		return d.node, true, nil
	}
	n, err = c.lookupAgain(dir, name)
	return n, false, err
}

// lookupAgain asks the server for a name.
func (c *NFSClient) lookupAgain(dir *inode, name string) (*inode, error) {
	if err := c.ask("LOOKUP"); err != nil {
		return nil, err
	}
	if dir.gone {
		return nil, syscall.ESTALE
	}
	n, k := dir.names[name], c.cache(dir)
	k.names[name] = dentry{n, k.verifier}
	if n != nil {
		c.learn(n)
	}
	return n, nil
}

// enter opens a directory by its name, which asks for its attributes.
func (c *NFSClient) enter(dir *inode, name string) (*inode, error) {
	n, _, err := c.lookup(dir, name)
	if err == nil {
		err = c.enterAs(n)
	}
	if errors.Is(err, syscall.ESTALE) {
		if n, err = c.lookupAgain(dir, name); err == nil {
			err = c.enterAs(n)
		}
	}
	return n, err
}

func (c *NFSClient) enterAs(n *inode) error {
	switch {
	case n == nil:
		return syscall.ENOENT
	case !n.dir():
		return syscall.ENOTDIR
	}
	return c.getattr(n)
}

// parent opens all directories on the way to a name.
func (r *nfsRoot) parent(name string) (dir *inode, base string, err error) {
	dir = r.node
	way := elements(path.Dir(name))
	for _, e := range way {
		if dir, err = r.client.enter(dir, e); err != nil {
			return nil, "", err
		}
	}
	return dir, path.Base(name), nil
}

// at is the file or directory of a name, as the client believes.
func (r *nfsRoot) at(name string) (*inode, error) {
	if name == "." {
		return r.node, nil
	}
	dir, base, err := r.parent(name)
	if err != nil {
		return nil, err
	}
	n, _, err := r.client.lookup(dir, base)
	if err == nil && n == nil {
		err = syscall.ENOENT
	}
	return n, err
}

func (r *nfsRoot) Lstat(name string) (info fs.FileInfo, err error) {
	err = r.step("lstatat", name, func() error {
		n, err := r.at(name)
		if err != nil {
			return err
		}
		if err := r.client.sent(n); err != nil {
			return err
		}
		if err := r.client.fresh(n); err != nil {
			return err
		}
		info = r.client.info(n, name)
		return nil
	})
	return info, err
}

func (r *nfsRoot) Stat(name string) (fs.FileInfo, error) { return r.Lstat(name) }

func (r *nfsRoot) Close() error {
	r.client.server.mu.Lock()
	defer r.client.server.mu.Unlock()
	r.closed = true
	return nil
}

func (r *nfsRoot) OpenRoot(name string) (kernel.Root, error) {
	var n *inode
	err := r.step("openat", name, func() (err error) {
		if n = r.node; name == "." {
			return r.client.getattr(n)
		}
		dir, base, err := r.parent(name)
		if err == nil {
			n, err = r.client.enter(dir, base)
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return &nfsRoot{client: r.client, node: n}, nil
}

func (r *nfsRoot) Open(name string) (kernel.File, error) { return r.OpenFile(name, os.O_RDONLY, 0) }

func (r *nfsRoot) OpenFile(name string, flag int, mode fs.FileMode) (kernel.File, error) {
	h := &handle{client: r.client, flag: flag, name: name, held: map[int64]kernel.LockKind{}}
	err := r.step("openat", name, func() (err error) {
		h.node, err = r.open(name, flag, mode)
		if err != nil {
			return err
		}
		c, n := r.client, h.node
		k := c.cache(n)
		if k.later && !c.opens(n) {
			k.paged, k.later = false, false
		}
		n.opens++
		h.seen = k.fails
		c.handles[h] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

// open finds or makes the file, and asks for its attributes: close-to-open.
func (r *nfsRoot) open(name string, flag int, mode fs.FileMode) (*inode, error) {
	c := r.client
	if name == "." {
		return r.node, c.getattr(r.node)
	}
	dir, base, err := r.parent(name)
	if err != nil {
		return nil, err
	}
	if flag&(os.O_CREATE|os.O_EXCL) == os.O_CREATE|os.O_EXCL {
		n, err := c.lookupAgain(dir, base)
		if err == nil && n != nil {
			err = syscall.EEXIST
		}
		if err != nil {
			return nil, err
		}
		return c.create(dir, base, mode)
	}
	n, cached, err := c.lookup(dir, base)
	if err == nil {
		n, err = c.openAs(dir, base, n, flag, mode)
	}
	if errors.Is(err, syscall.ESTALE) && cached {
		if n, err = c.lookupAgain(dir, base); err == nil {
			n, err = c.openAs(dir, base, n, flag, mode)
		}
	}
	return n, err
}

// openAs opens what a name is believed to be: by what it was, while that exists.
func (c *NFSClient) openAs(dir *inode, name string, n *inode, flag int, mode fs.FileMode) (*inode, error) {
	switch {
	case n == nil && flag&os.O_CREATE == 0:
		return nil, syscall.ENOENT
	case n == nil:
		return c.create(dir, name, mode)
	case n.dir() && flag&(os.O_WRONLY|os.O_RDWR) != 0:
		return nil, syscall.EISDIR
	case n.dir():
		return n, c.getattr(n)
	}
	return n, c.reopen(n, flag)
}

func (c *NFSClient) reopen(n *inode, flag int) error {
	if err := c.askNew("OPEN"); err != nil {
		return err
	}
	if n.gone {
		return syscall.ESTALE
	}
	c.learn(n)
	if flag&os.O_TRUNC == 0 {
		return nil
	}
	err := c.server.resize(n, 0)
	c.note(n)
	c.cache(n).paged, c.cache(n).dirty = false, nil
	return err
}

// create makes a file. If another has made it, what the client believes is old, and
// it opens that one.
func (c *NFSClient) create(dir *inode, name string, mode fs.FileMode) (*inode, error) {
	if err := c.askNew("OPEN"); err != nil {
		return nil, err
	}
	if dir.gone {
		return nil, syscall.ESTALE
	}
	n := dir.names[name]
	switch {
	case n != nil && n.dir():
		return nil, syscall.EISDIR
	case n == nil:
		n = c.server.newInode(mode.Perm())
		c.mine(dir, func() { c.server.put(dir, name, n) })
	}
	k := c.cache(dir)
	k.names[name] = dentry{n, k.verifier}
	c.learn(n)
	return n, nil
}

func (r *nfsRoot) MkdirAll(name string, mode fs.FileMode) error {
	return r.step("mkdirat", name, func() error {
		dir := r.node
		for _, e := range elements(name) {
			next, err := r.client.enter(dir, e)
			if errors.Is(err, syscall.ENOENT) {
				next, err = r.client.mkdir(dir, e, mode)
			}
			if err != nil {
				return err
			}
			dir = next
		}
		return nil
	})
}

func (c *NFSClient) mkdir(dir *inode, name string, mode fs.FileMode) (*inode, error) {
	if err := c.ask("CREATE"); err != nil {
		return nil, err
	}
	if dir.gone {
		return nil, syscall.ESTALE
	}
	n := dir.names[name]
	if n == nil {
		n = c.server.newInode(fs.ModeDir | mode.Perm())
		c.mine(dir, func() { c.server.put(dir, name, n) })
	}
	k := c.cache(dir)
	k.names[name] = dentry{n, k.verifier}
	if !n.dir() {
		return nil, syscall.ENOTDIR
	}
	c.learn(n)
	return n, nil
}

// both opens the ways to two names.
func (r *nfsRoot) both(from, to string) (a, b spot, err error) {
	if a.dir, a.name, err = r.parent(from); err == nil {
		b.dir, b.name, err = r.parent(to)
	}
	return a, b, err
}

func (r *nfsRoot) Link(from, to string) error {
	c := r.client
	return r.step("linkat", from, func() error {
		a, b, err := r.both(from, to)
		if err != nil {
			return err
		}
		n, _, err := c.lookup(a.dir, a.name)
		if err == nil && n == nil {
			err = syscall.ENOENT
		}
		if err != nil {
			return err
		}
		if there, _, err := c.lookup(b.dir, b.name); err != nil || there != nil {
			return firstOf(err, syscall.EEXIST)
		}
		if err := c.ask("LINK"); err != nil {
			return err
		}
		switch {
		case n.gone, b.dir.gone:
			return syscall.ESTALE
		case n.dir():
			return syscall.EPERM
		case b.dir.names[b.name] != nil:
			return syscall.EEXIST
		}
		c.mine(b.dir, func() { c.server.put(b.dir, b.name, n) })
		c.note(n)
		k := c.cache(b.dir)
		k.names[b.name] = dentry{n, k.verifier}
		return nil
	})
}

func firstOf(err, other error) error {
	if err != nil {
		return err
	}
	return other
}

func (r *nfsRoot) Rename(from, to string) error {
	c := r.client
	return r.step("renameat", from, func() error {
		a, b, err := r.both(from, to)
		if err != nil {
			return err
		}
		n, _, err := c.lookup(a.dir, a.name)
		if err == nil && n == nil {
			err = syscall.ENOENT
		}
		if err != nil {
			return err
		}
		target, _, err := c.lookup(b.dir, b.name)
		if err != nil {
			return err
		}
		if target != nil {
			if target == n {
				return nil
			}
			if err := c.replaceable(n, target); err != nil {
				return err
			}
			if err := c.putAside(b, target); err != nil {
				return err
			}
		}
		if err := c.ask("RENAME"); err != nil {
			return err
		}
		return c.rename(a, b, n)
	})
}

func (*NFSClient) replaceable(n, target *inode) error {
	switch {
	case target.dir() && !n.dir():
		return syscall.EISDIR
	case !target.dir() && n.dir():
		return syscall.ENOTDIR
	}
	return nil
}

// rename has the server move what it has at the name, which may be another than the
// client believes.
func (c *NFSClient) rename(a, b spot, believed *inode) error {
	n := a.dir.names[a.name]
	switch there := b.dir.names[b.name]; {
	case a.dir.gone, b.dir.gone:
		return syscall.ESTALE
	case n == nil:
		return syscall.ENOENT
	case there == nil || there == n:
	case there.dir() && len(there.names) > 0:
		return syscall.ENOTEMPTY
	default:
		if err := c.replaceable(n, there); err != nil {
			return err
		}
	}
	move := func() {
		if b.dir.names[b.name] == n {
			return
		}
		n.links++ // it is not forgotten in between
		c.server.unlink(a.dir, a.name)
		c.server.put(b.dir, b.name, n)
		n.links--
	}
	if a.dir == b.dir {
		c.mine(a.dir, move)
	} else {
		c.mine(a.dir, func() { c.mine(b.dir, move) })
	}
	from, to := c.cache(a.dir), c.cache(b.dir)
	from.names[a.name] = dentry{nil, from.verifier}
	to.names[b.name] = dentry{believed, to.verifier}
	c.note(believed)
	return nil
}

// putAside gives a file that the client itself has open another name, for as long as
// it is open.
func (c *NFSClient) putAside(at spot, n *inode) error {
	if n.dir() || !c.opens(n) {
		return nil
	}
	if err := c.ask("RENAME"); err != nil {
		return err
	}
	if at.dir.names[at.name] != n {
		return nil // another's by now
	}
	c.server.inodes++
	other := fmt.Sprintf(".nfs%016x%08x", n.number, c.server.inodes)
	c.mine(at.dir, func() {
		n.links++
		c.server.unlink(at.dir, at.name)
		c.server.put(at.dir, other, n)
		n.links--
	})
	k := c.cache(at.dir)
	k.names[at.name] = dentry{nil, k.verifier}
	c.asides[n] = append(c.asides[n], spot{at.dir, other})
	return nil
}

func (r *nfsRoot) Remove(name string) error {
	c := r.client
	return r.step("unlinkat", name, func() error {
		dir, base, err := r.parent(name)
		if err != nil {
			return err
		}
		n, _, err := c.lookup(dir, base)
		if err == nil && n == nil {
			err = syscall.ENOENT
		}
		if err != nil {
			return err
		}
		if !n.dir() && c.opens(n) {
			return c.putAside(spot{dir, base}, n)
		}
		if err := c.ask("REMOVE"); err != nil {
			return err
		}
		k := c.cache(dir)
		there := dir.names[base]
		switch {
		case dir.gone:
			return syscall.ESTALE
		case there == nil:
			k.names[base] = dentry{nil, k.verifier}
			return syscall.ENOENT
		case there.dir() && len(there.names) > 0:
			return syscall.ENOTEMPTY
		}
		c.mine(dir, func() { c.server.unlink(dir, base) })
		k.names[base] = dentry{nil, k.verifier}
		return nil
	})
}
