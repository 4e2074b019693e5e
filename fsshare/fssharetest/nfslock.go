package fssharetest

import (
	"slices"
	"syscall"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// A serverLock is a lock that the server has given: of one byte, or of the file.
type serverLock struct {
	by   *handle
	kind kernel.LockKind
	at   int64
}

// whole is where the lock of a whole file is.
const whole = -1

func (l serverLock) meets(at int64) bool { return l.at == at || l.at == whole || at == whole }

// against returns the locks of others that a lock of this kind would conflict with.
func (n *inode) against(h *handle, kind kernel.LockKind, at int64) (found []serverLock) {
	for _, l := range n.locks {
		if l.by != h && l.meets(at) && (kind == kernel.Exclusive || l.kind == kernel.Exclusive) {
			found = append(found, l)
		}
	}
	return found
}

// conflicts is against, after locks were taken from clients that were silent for too
// long.
func (h *handle) conflicts(kind kernel.LockKind, at int64) bool {
	for _, l := range h.node.against(h, kind, at) {
		if c := l.by.client; c != h.client && c.silent(h.client.renewed) {
			c.revoke()
		}
	}
	return len(h.node.against(h, kind, at)) > 0
}

// forget has the server forget a handle: its locks, and that it is open.
func (h *handle) forget() {
	h.node.locks = slices.DeleteFunc(h.node.locks, func(l serverLock) bool { return l.by == h })
	if h.opened {
		h.opened = false
		h.node.opens--
		h.client.server.free(h.node)
	}
}

func (h *handle) unlockOne(at int64) {
	h.node.locks = slices.DeleteFunc(h.node.locks, func(l serverLock) bool { return l.by == h && l.at == at })
}

func (h *handle) LockByte(what kernel.LockKind, at int64) (bool, error) {
	return h.lock("fcntl F_OFD_SETLK", what, at)
}

func (h *handle) LockWhole(what kernel.LockKind) (bool, error) { return h.lock("flock", what, whole) }

func (h *handle) lock(op string, what kernel.LockKind, at int64) (busy bool, err error) {
	err = h.step(op, func(k *cache) error {
		busy = false
		if what == kernel.None {
			return h.giveBack(at)
		}
		busy, err = h.take(k, what, at)
		return err
	})
	return busy, err
}

func (h *handle) giveBack(at int64) error {
	if err := h.client.sent(h.node); err != nil {
		return err
	}
	if _, has := h.held[at]; !has {
		return nil
	}
	if !h.lost {
		if err := h.client.ask("LOCKU"); err != nil {
			return err
		}
	}
	h.unlockOne(at)
	delete(h.held, at)
	if len(h.held) == 0 {
		h.lost = false // from here on the kernel lets its writes pass
	}
	return nil
}

func (h *handle) take(k *cache, what kernel.LockKind, at int64) (busy bool, err error) {
	c := h.client
	if what == kernel.Exclusive && !h.writable() || what == kernel.Shared && !h.readable() {
		return false, syscall.EBADF
	}
	if h.node.dir() { // the client alone knows of it
		return false, nil
	}
	if err := c.sent(h.node); err != nil {
		return false, err
	}
	for other := range c.handles { // the client itself knows of these, also when the server does not any more
		if other != h && other.node == h.node && other.holds(what, at) {
			return true, nil
		}
	}
	if err := c.askNew("LOCK"); err != nil {
		return false, err
	}
	if h.dead {
		return false, syscall.EBADF
	}
	if h.node.gone {
		return false, syscall.ESTALE
	}
	if h.conflicts(what, at) {
		return true, nil
	}
	if err := h.quota(at); err != nil {
		return false, err
	}
	h.unlockOne(at)
	h.node.locks = append(h.node.locks, serverLock{h, what, at})
	h.held[at] = what
	k.paged, k.until = false, c.renewed // with a lock, nothing from before it counts
	return false, nil
}

// holds reports whether the client takes the handle to have what is in the way of a
// lock.
func (h *handle) holds(what kernel.LockKind, at int64) bool {
	for its, kind := range h.held {
		if (its == at || its == whole || at == whole) && (what == kernel.Exclusive || kind == kernel.Exclusive) {
			return true
		}
	}
	return false
}

func (h *handle) quota(at int64) error {
	if _, has := h.held[at]; has {
		return nil
	}
	mine := 0
	for other := range h.client.handles {
		mine += len(other.held)
	}
	if len(h.node.locks) >= h.client.server.opts.LocksPerFile || mine >= h.client.server.opts.LocksPerClient {
		return syscall.EDQUOT
	}
	return nil
}

// ByteLocked asks who would be in the way of an exclusive lock.
func (h *handle) ByteLocked(at int64) (locked bool, err error) {
	err = h.step("fcntl F_OFD_GETLK", func(*cache) error {
		if err := h.client.askNew("LOCKT"); err != nil {
			return err
		}
		if h.node.gone {
			return syscall.ESTALE
		}
		locked = h.conflicts(kernel.Exclusive, at)
		return nil
	})
	return locked, err
}
