package efsshare

import (
	"context"
	"io/fs"
	"time"

	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// What tests of this package need bare.
type (
	Slot = slot
	Pool = pool
)

const (
	SlotSize = slotSize
	PageSize = pageSize
	Slow     = slow
)

var (
	DecodePage = decodePage
	FindMount  = findMount
	MountOf    = mountOf
	NewPool    = newPool
	ErrNewer   = errNewer
)

// Encode returns the slot as it is in a lock's file.
func Encode(s Slot) []byte { return s.encode() }

// Checksum seals a slot of any bytes, so that a fuzz test gets past it.
func Checksum(b []byte) uint32 { return checksum(b) }

// Tabled is the operating system with other tables.
type Tabled struct {
	kernel.OS
	Files fs.FS
}

// Tables are these.
func (t Tabled) Tables() fs.FS { return t.Files }

// On makes the share read the tables of another system.
func (s *Share) On(other System) (*Share, error) {
	m, err := findMount(other.Tables(), s.dir)
	if err != nil {
		return nil, err
	}
	return &Share{dir: s.dir, root: s.root, mount: m, pool: s.pool, opts: s.opts, who: s.who, system: other}, nil
}

// AddStats reads a mountstats.
func (m *Mount) AddStats(text []byte) { m.addStats(text) }

// Do makes a call of the pool.
func (p *pool) Do(ctx context.Context, f func() error) error { return do(ctx, p, f) }

// Hanging is the number of calls that hang.
func (p *pool) Hanging() int { return p.hanging() }

// Eventually makes a call when there is a place.
func (p *pool) Eventually(f func()) <-chan struct{} { return p.eventually(f) }

// Refuse has the server refuse what the lock writes from now on, as it does to who
// lost it: its descriptor is closed behind its back.
func (l *Lock) Refuse() { closeFile(l.file) }

// Leased makes a lock of a local file system one with a lease.
func Leased(ctx context.Context, s *Share, name string, lease time.Duration) (*Lock, error) {
	leased := &Share{dir: s.dir, root: s.root, mount: s.mount, pool: s.pool, opts: s.opts, who: s.who, system: s.system}
	leased.mount.Lease = lease
	return leased.Acquire(ctx, name, nil)
}
