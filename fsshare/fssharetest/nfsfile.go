package fssharetest

import (
	"errors"
	"io"
	"io/fs"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// A handle is an open file description of a client.
type handle struct {
	client *NFSClient
	node   *inode
	entry  *dentry // by which it was opened
	flag   int
	name   string
	pos    int64
	held   map[int64]kernel.LockKind // what the client believes to have locked
	lost   bool                      // its locks were taken, and it is fenced until it gives them back
	opened bool                      // as the server knows
	dead   bool                      // the server forgot it, and then its file
	seen   int                       // failures of the cache that it was told of
	listed bool
	closed bool
	killed bool // with its process; the server may not have heard
}

func (h *handle) writable() bool { return h.flag&(os.O_WRONLY|os.O_RDWR) != 0 }
func (h *handle) readable() bool { return h.flag&os.O_WRONLY == 0 }

// step is a call of the file.
func (h *handle) step(op string, f func(k *cache) error) error {
	return pathError(op, h.name, h.client.do(func() error {
		if h.closed {
			return os.ErrClosed
		}
		return f(h.client.cache(h.node))
	}))
}

func (h *handle) Stat() (info fs.FileInfo, err error) {
	err = h.step("stat", func(*cache) error {
		if err := h.client.sent(h.node); err != nil {
			return err
		}
		if err := h.client.freshTimes(h.node); err != nil {
			return err
		}
		info = h.client.info(h.node, h.name)
		return nil
	})
	return info, err
}

// load has the data in the cache: what it has, if the attributes are not too old.
func (h *handle) load(k *cache) error {
	c := h.client
	if err := c.fresh(h.node); err != nil {
		return err
	}
	if k.paged {
		return nil
	}
	if err := h.ask("READ"); err != nil {
		return err
	}
	k.page, k.paged, k.times = slices.Clone(h.node.data), true, true
	for _, e := range k.dirty {
		k.overlay(e)
	}
	return nil
}

// ask is a call with what the handle has locked, which the server may have taken.
func (h *handle) ask(what string) error {
	if err := h.client.ask(what); err != nil {
		return err
	}
	switch {
	case h.dead:
		return syscall.EBADF
	case h.lost:
		return syscall.EIO
	case h.node.gone:
		return syscall.ESTALE
	}
	return nil
}

func (k *cache) overlay(e extent) {
	end := e.off + int64(len(e.data))
	if grow := end - int64(len(k.page)); grow > 0 {
		k.page = append(k.page, make([]byte, grow)...)
	}
	copy(k.page[e.off:], e.data)
}

func (h *handle) ReadAt(p []byte, off int64) (n int, err error) {
	err = h.step("read", func(k *cache) error {
		n, err = h.read(k, p, off)
		return err
	})
	return n, bareEOF(err)
}

func (h *handle) Read(p []byte) (n int, err error) {
	err = h.step("read", func(k *cache) error {
		n, err = h.read(k, p, h.pos)
		if n > 0 {
			h.pos += int64(n)
			return nil
		}
		return err
	})
	return n, bareEOF(err)
}

// bareEOF is EOF as it is, which is what readers compare with.
func bareEOF(err error) error {
	if pathErr, ok := err.(*fs.PathError); ok && pathErr.Err == io.EOF { //nolint:errorlint // nothing wraps it
		return io.EOF
	}
	return err
}

func (h *handle) read(k *cache, p []byte, off int64) (int, error) {
	switch {
	case h.node.dir():
		return 0, syscall.EISDIR
	case !h.readable():
		return 0, syscall.EBADF
	case off < 0:
		return 0, syscall.EINVAL
	}
	if err := h.client.fresh(h.node); err != nil {
		return 0, err
	}
	size := h.size() // the server may have more
	if off >= size {
		if len(p) == 0 {
			return 0, nil
		}
		return 0, io.EOF
	}
	if err := h.load(k); err != nil {
		return 0, err
	}
	p0 := p[:min(int64(len(p)), size-off)]
	clear(p0)
	copy(p0, k.page[min(off, int64(len(k.page))):])
	if len(p0) < len(p) {
		return len(p0), io.EOF
	}
	return len(p0), nil
}

// size is what the client takes for the file's.
func (h *handle) size() int64 { return h.client.info(h.node, h.name).Size() }

func (h *handle) Seek(offset int64, whence int) (pos int64, err error) {
	err = h.step("seek", func(*cache) error {
		switch whence {
		case io.SeekCurrent:
			offset += h.pos
		case io.SeekEnd:
			if err := h.client.fresh(h.node); err != nil {
				return err
			}
			offset += h.size()
		}
		if offset < 0 {
			return syscall.EINVAL
		}
		if h.node.dir() {
			h.listed = false
		}
		h.pos, pos = offset, offset
		return nil
	})
	return pos, err
}

func (h *handle) Write(p []byte) (n int, err error) {
	err = h.step("write", func(k *cache) error {
		off := h.pos
		if h.flag&os.O_APPEND != 0 {
			if err := h.client.fresh(h.node); err != nil {
				return err
			}
			off = h.size()
		}
		if err := h.write(k, p, off); err != nil {
			return err
		}
		h.pos, n = off+int64(len(p)), len(p)
		return nil
	})
	return n, err
}

func (h *handle) WriteAt(p []byte, off int64) (n int, err error) {
	err = h.step("write", func(k *cache) error {
		if err := h.write(k, p, off); err != nil {
			return err
		}
		n = len(p)
		return nil
	})
	return n, err
}

// write keeps the data, to be sent when the file is synced or closed.
func (h *handle) write(k *cache, p []byte, off int64) error {
	switch {
	case !h.writable():
		return syscall.EBADF
	case off < 0:
		return syscall.EINVAL
	}
	if len(k.dirty) > 0 && k.dirty[0].by != h { // another's data is sent first
		if err := h.client.sent(h.node); err != nil {
			return err
		}
	}
	size := h.size()
	replaces := size == 0 || off == 0 && int64(len(p)) >= size
	switch {
	case k.paged:
	case replaces:
		k.page, k.paged = nil, true
	case h.readable() && len(k.dirty) == 0: // what is around it is read
		if err := h.load(k); err != nil {
			return err
		}
	}
	e := extent{off, slices.Clone(p), h}
	k.dirty = append(k.dirty, e)
	if k.paged {
		k.overlay(e)
	}
	return nil
}

// flush sends what was written. Data that the server refuses is dropped, and the
// error is for those who sync or close.
func (c *NFSClient) flush(n *inode) error {
	k := c.cache(n)
	if len(k.dirty) == 0 {
		return nil
	}
	if err := c.ask("WRITE"); err != nil {
		return err
	}
	var failed error
	believed := c.info(n, "").Size()
	for _, e := range k.dirty {
		switch {
		case e.by.lost, e.by.dead:
			failed = syscall.EIO
		case n.gone:
			failed = syscall.ESTALE
		default:
			if err := c.server.write(n, e.data, e.off); err != nil {
				failed = err
			}
		}
	}
	k.dirty = nil
	if links := k.attr.links; !n.gone {
		c.note(n)
		k.attr.links = links // the answer to a write has not all attributes
	}
	if failed != nil {
		k.failed, k.unseen = failed, true
		k.fails++
		k.paged, k.until = false, time.Now()
		k.attr.size = believed // until it asks
	}
	return failed
}

// sent is flush for those who are not told of a refusal.
func (c *NFSClient) sent(n *inode) error {
	if err := c.flush(n); err == errWait { //nolint:errorlint // nothing wraps it
		return err
	}
	return nil
}

func (h *handle) Sync() error {
	return h.step("sync", func(k *cache) error {
		if err := h.client.sent(h.node); err != nil {
			return err
		}
		if h.seen == k.fails {
			return nil
		}
		h.seen, k.unseen = k.fails, false // who sent it may have been another
		return k.failed
	})
}

func (h *handle) DataSync() error { return h.Sync() }

func (h *handle) Forget() error {
	return h.step("fadvise", func(k *cache) error {
		if len(k.dirty) > 0 {
			_ = h.client.flush(h.node) // it is only begun, and what is on its way is kept
			return nil
		}
		k.paged = false
		return nil
	})
}

func (h *handle) Chmod(mode fs.FileMode) error {
	return h.step("chmod", func(*cache) error {
		if err := h.client.writing(); err != nil {
			return err
		}
		if err := h.client.sent(h.node); err != nil {
			return err
		}
		if err := h.client.ask("SETATTR"); err != nil {
			return err
		}
		if h.node.gone {
			return syscall.ESTALE
		}
		h.node.mode = h.node.mode.Type() | mode.Perm()
		h.client.server.touch(h.node)
		h.client.note(h.node)
		return nil
	})
}

func (h *handle) Readdirnames(int) (names []string, err error) {
	infos, err := h.Readdir(-1)
	for _, info := range infos {
		names = append(names, info.Name())
	}
	return names, err
}

// Readdir returns all at once, whatever n is.
func (h *handle) Readdir(n int) (infos []fs.FileInfo, err error) {
	err = h.step("readdir", func(k *cache) error {
		if !h.node.dir() {
			return syscall.ENOTDIR
		}
		if h.listed {
			if n > 0 {
				return io.EOF
			}
			return nil
		}
		infos, err = h.client.list(h.node, k)
		h.listed = err == nil
		return err
	})
	return infos, bareEOF(err)
}

// list is what is in a directory: from the cache if it is as it was, and then asked
// for name by name.
func (c *NFSClient) list(dir *inode, k *cache) (infos []fs.FileInfo, err error) {
	if err := c.fresh(dir); err != nil {
		return nil, err
	}
	if !k.listed {
		if err := c.ask("READDIR"); err != nil {
			return nil, err
		}
		if dir.gone {
			return nil, syscall.ENOENT
		}
		k.listed, k.times, k.list = true, true, slices.Sorted(maps.Keys(dir.names))
		for _, name := range k.list {
			n := dir.names[name]
			c.learn(n)
			c.believe(spot{dir, name}, n)
		}
	}
	for _, name := range k.list {
		n, err := c.there(spot{dir, name})
		if errors.Is(err, syscall.ENOENT) {
			continue
		}
		if err == nil {
			err = c.sent(n)
		}
		if err == nil {
			err = c.freshTimes(n)
		}
		if err != nil {
			return nil, err
		}
		infos = append(infos, c.info(n, name))
	}
	return infos, nil
}

// Close sends what was written, and says what came of it. What was locked is free
// when the server hears of it.
func (h *handle) Close() error {
	return h.step("close", func(k *cache) error {
		c := h.client
		var failed error
		if h.writable() {
			if failed = c.flush(h.node); failed == errWait { //nolint:errorlint // it is not wrapped
				return failed
			}
			if failed == nil && k.unseen {
				failed = k.failed
			}
		}
		if len(h.held) > 0 && !h.lost {
			if err := c.ask("LOCKU"); err != nil {
				return err
			}
		}
		h.closed = true
		c.drop(h)
		return failed
	})
}

// drop lets the server know, as soon as it can, that the file is not open any more.
func (c *NFSClient) drop(h *handle) {
	h.forget()
	clear(h.held)
	delete(c.handles, h)
	n := h.node
	if at, ok := c.asides[h.entry]; ok && !c.inUse(h.entry) {
		if at.dir.names[at.name] == n {
			c.mine(at.dir, func() { c.server.unlink(at) })
		}
		delete(c.cache(at.dir).names, at.name)
		delete(c.asides, h.entry)
	}
	c.server.free(n)
}
