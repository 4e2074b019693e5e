package fssharetest

import (
	"errors"
	"io/fs"
	"os"
	"path"
	"syscall"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// An nfsRoot is an open directory, below which names are. What it does is what
// os.Root does there.
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

// parent opens all directories on the way to a name.
func (r *nfsRoot) parent(name string) (at spot, err error) {
	dir := r.node
	for _, e := range elements(path.Dir(name)) {
		if dir, err = r.client.enter(spot{dir, e}); err != nil {
			return spot{}, err
		}
	}
	if !dir.dir() {
		return spot{}, syscall.ENOTDIR
	}
	return spot{dir, path.Base(name)}, nil
}

// both opens the ways to two names.
func (r *nfsRoot) both(from, to string) (a, b spot, err error) {
	if a, err = r.parent(from); err == nil {
		b, err = r.parent(to)
	}
	return a, b, err
}

func (r *nfsRoot) Lstat(name string) (info fs.FileInfo, err error) {
	c := r.client
	err = r.step("lstatat", name, func() error {
		stat := func(n *inode) error {
			err := c.sent(n)
			if err == nil {
				err = c.freshTimes(n)
			}
			info = c.info(n, name)
			return err
		}
		if name == "." {
			return stat(r.node)
		}
		at, err := r.parent(name)
		if err != nil {
			return err
		}
		return c.again(at, stat)
	})
	if err != nil {
		return nil, err
	}
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
			return r.client.openDir(n)
		}
		at, err := r.parent(name)
		if err == nil {
			n, err = r.client.enter(at)
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
		c := r.client
		h.entry = &dentry{node: r.node}
		if name == "." {
			err = c.openDir(r.node)
		} else {
			var at spot
			if at, err = r.parent(name); err == nil {
				h.entry, err = c.open(at, flag, mode)
			}
		}
		if err != nil {
			return err
		}
		h.node = h.entry.node
		k := c.cache(h.node)
		if k.later && !c.opens(h.node) {
			k.paged, k.later = false, false
		}
		h.node.opens++
		h.opened = true
		if h.seen = k.fails; k.unseen {
			h.seen--
		}
		c.handles[h] = true
		return nil
	})
	if err != nil {
		return nil, err
	}
	return h, nil
}

func (r *nfsRoot) MkdirAll(name string, mode fs.FileMode) error {
	c := r.client
	return r.step("mkdirat", name, func() error {
		if name == "." {
			return c.freshTimes(r.node)
		}
		at := spot{r.node, ""}
		way := elements(name)
		for i, e := range way {
			at.name = e
			if i == len(way)-1 {
				break
			}
			next, err := c.enter(at)
			if errors.Is(err, syscall.ENOENT) {
				if err = c.mkdir(at, mode); err == nil || errors.Is(err, syscall.EEXIST) {
					next, err = c.enter(at)
				}
			}
			if err != nil {
				return err
			}
			at.dir = next
		}
		err := c.mkdir(at, mode)
		if !errors.Is(err, syscall.EEXIST) {
			return err
		}
		n, err := c.there(at)
		if err == nil && !n.dir() {
			err = syscall.ENOTDIR
		}
		if err != nil {
			return err
		}
		return c.freshTimes(n)
	})
}

func (r *nfsRoot) Link(from, to string) error {
	return r.step("linkat", from, func() error {
		a, b, err := r.both(from, to)
		if err != nil {
			return err
		}
		return r.client.link(a, b)
	})
}

func (r *nfsRoot) Rename(from, to string) error {
	return r.step("renameat", from, func() error {
		a, b, err := r.both(from, to)
		if err != nil {
			return err
		}
		var target *inode // os.Root looks first
		err = r.client.again(b, func(n *inode) error {
			target = n
			if err := r.client.sent(n); err != nil {
				return err
			}
			return r.client.freshTimes(n)
		})
		switch {
		case errors.Is(err, errWait):
			return err
		case err == nil && target.dir():
			return syscall.EEXIST
		}
		return r.client.rename(a, b)
	})
}

func (r *nfsRoot) Remove(name string) error {
	return r.step("unlinkat", name, func() error {
		at, err := r.parent(name)
		if err != nil {
			return err
		}
		return r.client.remove(at)
	})
}
