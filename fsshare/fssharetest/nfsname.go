package fssharetest

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"
	"time"
)

// What a client does with names. It asks the server as seldom as the Linux client.

// known is what the client believes of a name, or nil if it knows nothing. What it
// believes is as old as what it knows of the directory.
func (c *NFSClient) known(at spot) (*dentry, error) {
	k := c.cache(at.dir)
	if !k.allowed { // to look for names; the answer has the attributes too
		if err := c.ask("ACCESS"); err != nil {
			return nil, err
		}
		if at.dir.gone {
			return nil, syscall.ESTALE
		}
		k.allowed = true
		c.learn(at.dir)
	}
	if err := c.fresh(at.dir); err != nil {
		return nil, err
	}
	d := k.names[at.name]
	if d == nil || d.verifier == k.verifier {
		return d, nil
	}
	if d.node == nil {
		delete(k.names, at.name)
		return nil, nil
	}
	return c.lookup(at)
}

// verified is known, but for a file that the client knows to have no name any more.
func (c *NFSClient) verified(at spot) (*dentry, error) {
	d, err := c.known(at)
	if err != nil || d == nil || d.node == nil || c.cache(d.node).attr.links > 0 {
		return d, err
	}
	k := c.cache(at.dir)
	delete(k.names, at.name)
	k.until = time.Now()
	return nil, nil
}

// lookup asks the server for a name.
func (c *NFSClient) lookup(at spot) (*dentry, error) {
	if err := c.ask("LOOKUP"); err != nil {
		return nil, err
	}
	if at.dir.gone {
		return nil, syscall.ESTALE
	}
	n, k := at.dir.names[at.name], c.cache(at.dir)
	if n != nil {
		c.learn(n)
	}
	if d := k.names[at.name]; d != nil && d.verifier == k.verifier && d.node != n {
		k.until = time.Now() // the directory is not as it is believed to be
	}
	return c.believe(at, n), nil
}

// believe notes what a name is. A file that has it still stays the one that is open
// by it.
func (c *NFSClient) believe(at spot, n *inode) *dentry {
	k := c.cache(at.dir)
	d := k.names[at.name]
	if d == nil || d.node != n {
		d = &dentry{node: n}
		k.names[at.name] = d
	}
	d.verifier = k.verifier
	return d
}

// there is the file or directory of a name, as the client believes.
func (c *NFSClient) there(at spot) (*inode, error) {
	d, err := c.verified(at)
	if err == nil && d == nil {
		d, err = c.lookup(at)
	}
	switch {
	case err != nil:
		return nil, err
	case d.node == nil:
		return nil, syscall.ENOENT
	}
	return d.node, nil
}

// again makes f with what a name is, and if the server has forgotten that, once more
// with what it is then.
func (c *NFSClient) again(at spot, f func(n *inode) error) error {
	for try := 1; ; try++ {
		n, err := c.there(at)
		if err == nil {
			err = f(n)
		}
		if !errors.Is(err, syscall.ESTALE) || try > 1 || at.dir.gone {
			return err
		}
		delete(c.cache(at.dir).names, at.name)
	}
}

// enter opens a directory by its name, which asks for its attributes.
func (c *NFSClient) enter(at spot) (dir *inode, err error) {
	err = c.again(at, func(n *inode) error {
		if dir = n; !n.dir() {
			return syscall.ENOTDIR
		}
		return c.openDir(n)
	})
	return dir, err
}

// open finds or makes a file, and asks for its attributes: close-to-open.
func (c *NFSClient) open(at spot, flag int, mode fs.FileMode) (*dentry, error) {
	making, alone := flag&os.O_CREATE != 0, flag&os.O_EXCL != 0
	if flag&(os.O_WRONLY|os.O_RDWR|os.O_TRUNC) != 0 && c.readOnly {
		if _, err := c.there(at); errors.Is(err, errWait) || err != nil && !making {
			return nil, err
		}
		return nil, syscall.EROFS
	}
	d, err := c.known(at)
	if err == nil && d != nil && d.node != nil && making && alone {
		d, err = c.lookup(at)
	}
	switch {
	case err != nil:
		return nil, err
	case d == nil || d.node == nil && making:
		return c.openByName(at, flag, mode)
	case d.node == nil:
		return nil, syscall.ENOENT
	case making && alone:
		return nil, syscall.EEXIST
	}
	// A name that is believed is opened by what it was, while that exists.
	err = c.openNode(d.node, flag)
	if errors.Is(err, syscall.ESTALE) {
		delete(c.cache(at.dir).names, at.name)
		return c.openByName(at, flag, mode)
	}
	return d, err
}

// openByName has the server find or make the file.
func (c *NFSClient) openByName(at spot, flag int, mode fs.FileMode) (*dentry, error) {
	if err := c.askNew("OPEN"); err != nil {
		return nil, err
	}
	if at.dir.gone {
		return nil, syscall.ESTALE
	}
	n := at.dir.names[at.name]
	making := flag&os.O_CREATE != 0
	switch {
	case n == nil && !making:
		c.believe(at, nil)
		return nil, syscall.ENOENT
	case n != nil && making && flag&os.O_EXCL != 0:
		delete(c.cache(at.dir).names, at.name)
		return nil, syscall.EEXIST
	case n == nil:
		n = c.server.newInode(mode.Perm())
		d := c.believe(at, n)
		c.mine(at.dir, func() { c.server.put(at, n) })
		c.learn(n)
		return d, nil
	}
	d := c.believe(at, n)
	if n.dir() {
		return d, c.openNode(n, flag)
	}
	if k := c.cache(at.dir); making && k.attr.change != at.dir.change { // the answer has the directory's version
		c.mine(at.dir, func() {})
	}
	return d, c.openNode(n, flag)
}

// openNode opens what a name is.
func (c *NFSClient) openNode(n *inode, flag int) error {
	if n.dir() {
		if flag&(os.O_WRONLY|os.O_RDWR) != 0 {
			return syscall.EISDIR
		}
		return c.openDir(n)
	}
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

// mkdir makes one directory. It does not ask first whether there is one.
func (c *NFSClient) mkdir(at spot, mode fs.FileMode) error {
	if err := c.vacant(at); err != nil {
		return err
	}
	if err := c.writing(); err != nil {
		return err
	}
	if err := c.ask("CREATE"); err != nil {
		return err
	}
	if at.dir.gone {
		return syscall.ESTALE
	}
	if at.dir.names[at.name] != nil {
		delete(c.cache(at.dir).names, at.name)
		return syscall.EEXIST
	}
	n := c.server.newInode(fs.ModeDir | mode.Perm())
	c.mine(at.dir, func() { c.server.put(at, n) })
	c.believe(at, n)
	c.learn(n)
	return nil
}

// vacant returns EEXIST for a name of something. It believes that there is nothing,
// and not that there is something.
func (c *NFSClient) vacant(at spot) error {
	d, err := c.known(at)
	if err == nil && d != nil && d.node != nil {
		d, err = c.lookup(at)
	}
	if err == nil && d != nil && d.node != nil {
		err = syscall.EEXIST
	}
	return err
}

func (c *NFSClient) link(a, b spot) error {
	return c.again(a, func(n *inode) error { return c.linkNode(n, b) })
}

func (c *NFSClient) linkNode(n *inode, b spot) error {
	if err := c.vacant(b); err != nil {
		return err
	}
	if err := c.writing(); err != nil {
		return err
	}
	if n.dir() {
		return syscall.EPERM
	}
	if err := c.sent(n); err != nil {
		return err
	}
	if err := c.ask("LINK"); err != nil {
		return err
	}
	switch {
	case n.gone, b.dir.gone:
		return syscall.ESTALE
	case b.dir.names[b.name] != nil:
		delete(c.cache(b.dir).names, b.name)
		return syscall.EEXIST
	case n.links == 0:
		return syscall.ENOENT
	}
	c.mine(b.dir, func() { c.server.put(b, n) })
	if err := c.heard(syscall.EEXIST); err != nil {
		delete(c.cache(b.dir).names, b.name)
		return err
	}
	c.believe(b, n)
	c.note(n)
	return nil
}

func (c *NFSClient) rename(a, b spot) error {
	n, err := c.there(a)
	if err != nil {
		return err
	}
	target, err := c.verified(b)
	if err == nil {
		err = c.writing()
	}
	if err != nil {
		return err
	}
	if target != nil && target.node != nil {
		if target.node == n {
			return nil
		}
		if err := replaceable(n, target.node); err != nil {
			return err
		}
		err := c.putAside(b, target)
		if errors.Is(err, syscall.ENOENT) {
			err = syscall.ETXTBSY
		}
		if err != nil {
			return err
		}
	}
	if err := c.sent(n); err != nil {
		return err
	}
	if err := c.ask("RENAME"); err != nil {
		return err
	}
	err = c.move(a, b)
	if err == nil {
		err = c.heard(syscall.ENOENT)
	}
	if err != nil {
		return err
	}
	from, to := c.cache(a.dir), c.cache(b.dir)
	d := from.names[a.name]
	delete(from.names, a.name)
	to.names[b.name] = d
	d.verifier = to.verifier
	c.cache(n).until = time.Now()
	return nil
}

func replaceable(n, target *inode) error {
	switch {
	case target.dir() && !n.dir():
		return syscall.EISDIR
	case !target.dir() && n.dir():
		return syscall.ENOTDIR
	}
	return nil
}

// move has the server move what it has at the name, which may be another than the
// client believes.
func (c *NFSClient) move(a, b spot) error {
	n, there := a.dir.names[a.name], b.dir.names[b.name]
	switch {
	case a.dir.gone, b.dir.gone:
		return syscall.ESTALE
	case n == nil:
		return syscall.ENOENT
	case there == n:
		return nil
	case there != nil:
		if err := replaceable(n, there); err != nil {
			return err
		}
		if len(there.names) > 0 {
			return syscall.ENOTEMPTY
		}
	}
	move := func() {
		n.links++ // it is not forgotten in between
		c.server.unlink(a)
		c.server.put(b, n)
		n.links--
	}
	if a.dir == b.dir {
		c.mine(a.dir, move)
	} else {
		c.mine(a.dir, func() { c.mine(b.dir, move) })
	}
	return nil
}

// putAside gives a file that the client itself has open by the name another name,
// for as long as it is open.
func (c *NFSClient) putAside(at spot, d *dentry) error {
	if d.node.dir() || !c.inUse(d) {
		return nil
	}
	if err := c.ask("RENAME"); err != nil {
		return err
	}
	c.server.inodes++
	other := spot{at.dir, fmt.Sprintf(".nfs%016x%08x", d.node.number, c.server.inodes)}
	if err := c.move(at, other); err != nil {
		c.cache(d.node).until = time.Now()
		return err
	}
	k := c.cache(at.dir)
	delete(k.names, at.name)
	k.names[other.name] = d
	d.verifier = k.verifier
	c.asides[d] = other
	return nil
}

// inUse reports whether the client has a file open by the name.
func (c *NFSClient) inUse(d *dentry) bool {
	for h := range c.handles {
		if h.entry == d {
			return true
		}
	}
	return false
}

func (c *NFSClient) remove(at spot) error {
	n, err := c.there(at)
	if err != nil {
		return err
	}
	if err := c.writing(); err != nil {
		return err
	}
	k := c.cache(at.dir)
	if d := k.names[at.name]; !n.dir() && c.inUse(d) {
		return c.putAside(at, d)
	}
	if err := c.ask("REMOVE"); err != nil {
		return err
	}
	there := at.dir.names[at.name]
	switch {
	case at.dir.gone:
		return syscall.ESTALE
	case there == nil:
		delete(k.names, at.name)
		return syscall.ENOENT
	case there.dir() && len(there.names) > 0:
		return syscall.ENOTEMPTY
	}
	c.mine(at.dir, func() { c.server.unlink(at) })
	if err := c.heard(syscall.ENOENT); err != nil {
		delete(k.names, at.name)
		return err
	}
	c.cache(there).attr.links, c.cache(there).until = there.links, time.Now()
	c.believe(at, nil)
	return nil
}
