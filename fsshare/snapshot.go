package fsshare

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"path"
	"slices"
	"time"
)

// A snapshot is this line, the SHA-256 of the rest, and the rest: JSON. A change of
// meaning takes a new number in the line.
const snapshotMagic = "genaistore fsshare snapshot 1\n"

type wireShare struct {
	Nodes []wireNode `json:"nodes"` // by name, so a directory comes before what is in it
	Locks []wireLock `json:"locks"` // by name
}

type wireNode struct {
	Name     string      `json:"name"`
	Mode     fs.FileMode `json:"mode"`
	Modified time.Time   `json:"modified"`
	Data     []byte      `json:"data,omitempty"`
}

type wireLock struct {
	Name      string `json:"name"`
	Token     uint64 `json:"token"`
	Holder    Holder `json:"holder"`
	Committed bool   `json:"committed"`
	Data      []byte `json:"data,omitempty"`
}

// Snapshot writes what is in the share at one moment: directories, files with mode
// and time, and of each lock the token, the last holder and what is committed, but
// not that it is held. The mutex is free while w is written.
func (m *InMemory) Snapshot(w io.Writer) error {
	body, err := json.Marshal(m.wire())
	if err != nil {
		return fmt.Errorf("snapshot: %w", err)
	}
	sum := sha256.Sum256(body)
	for _, part := range [][]byte{[]byte(snapshotMagic), sum[:], body} {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("snapshot: %w", err)
		}
	}
	return nil
}

func (m *InMemory) wire() wireShare {
	m.mu.Lock()
	defer m.mu.Unlock()
	wire := wireShare{Nodes: []wireNode{}, Locks: []wireLock{}}
	if m.root != nil {
		m.root.wire(".", &wire)
	}
	for _, name := range slices.Sorted(maps.Keys(m.locks)) {
		if rec := m.locks[name]; rec.token > 0 { // only ever taken in shared mode: nothing to keep
			wire.Locks = append(wire.Locks, wireLock{name, rec.token, rec.holder, rec.data != nil, rec.data})
		}
	}
	return wire
}

func (n *node) wire(name string, into *wireShare) {
	into.Nodes = append(into.Nodes, wireNode{name, n.mode, n.modified, n.data})
	for _, child := range slices.Sorted(maps.Keys(n.children)) {
		n.children[child].wire(path.Join(name, child), into)
	}
}

// Restore replaces what is in the share by what a Snapshot wrote, at once, after
// all of it was read and checked. An error changes nothing: ErrCorrupt for what is
// no snapshot, is cut or was changed; ErrConflict if a lock is held or waited for.
// Tokens never go back: each lock keeps the greater one, also a lock that the
// snapshot has not, which keeps nothing else.
func (m *InMemory) Restore(r io.Reader) error {
	data, err := io.ReadAll(r)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	root, locks, err := decodeSnapshot(data)
	if err != nil {
		return fmt.Errorf("restore: %w: %w", ErrCorrupt, err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, old := range m.locks {
		if len(old.held) > 0 || len(old.queue) > 0 {
			return fmt.Errorf("restore: %w: lock %q is held", ErrConflict, name)
		}
	}
	for name, old := range m.locks {
		if locks[name] == nil {
			locks[name] = &lockRecord{}
		}
		locks[name].token = max(locks[name].token, old.token)
	}
	m.root, m.locks = root, locks
	return nil
}

func decodeSnapshot(data []byte) (*node, map[string]*lockRecord, error) {
	data, ok := bytes.CutPrefix(data, []byte(snapshotMagic))
	if !ok || len(data) < sha256.Size {
		return nil, nil, errors.New("not a snapshot that this version reads")
	}
	sum, body := [sha256.Size]byte(data), data[sha256.Size:]
	if sha256.Sum256(body) != sum {
		return nil, nil, errors.New("the checksum is not that of the content")
	}
	var wire wireShare
	if err := decodeStrict(body, &wire); err != nil {
		return nil, nil, err
	}
	root, err := wire.tree()
	if err != nil {
		return nil, nil, err
	}
	locks, err := wire.records()
	return root, locks, err
}

func (w wireShare) tree() (*node, error) {
	var root *node
	for _, from := range w.Nodes {
		n, err := from.node()
		if err != nil {
			return nil, err
		}
		if root == nil {
			if from.Name != "." || n.children == nil {
				return nil, errors.New("the first directory is not the root")
			}
			root = n
			continue
		}
		if err := validateFile(from.Name); err != nil {
			return nil, err
		}
		dir := root.at(path.Dir(from.Name))
		if dir == nil || dir.children == nil || dir.children[path.Base(from.Name)] != nil {
			return nil, fmt.Errorf("%.300q is there twice, or no directory is above it", from.Name)
		}
		dir.children[path.Base(from.Name)] = n
	}
	return root, nil
}

func (w wireNode) node() (*node, error) {
	n := &node{mode: w.Mode, modified: w.Modified}
	switch {
	case w.Mode == dirMode && len(w.Data) == 0:
		n.children = map[string]*node{}
	case w.Mode == w.Mode.Perm():
		n.data, n.sum = w.Data, sha256.Sum256(w.Data)
	default:
		return nil, fmt.Errorf("%.300q has mode %v and %d bytes", w.Name, w.Mode, len(w.Data))
	}
	return n, nil
}

func (w wireShare) records() (map[string]*lockRecord, error) {
	locks := map[string]*lockRecord{}
	for _, from := range w.Locks {
		if err := ValidateLock(from.Name); err != nil {
			return nil, err
		}
		if locks[from.Name] != nil || from.Token == 0 || len(from.Data) > MaxCommit || !from.Committed && len(from.Data) > 0 {
			return nil, fmt.Errorf("lock %q is there twice, or was never taken, or holds what cannot be committed", from.Name)
		}
		rec := &lockRecord{token: from.Token, holder: from.Holder}
		if from.Committed {
			rec.data = append([]byte{}, from.Data...)
		}
		locks[from.Name] = rec
	}
	return locks, nil
}
