package fssharetest

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/fsshare"
)

// Fuzz runs random programs of writes, reads, removals, listings, locks and commits
// against the two clients and against a plain model, and reports the first
// difference. An instruction is three bytes: what, on which name, and how.
func Fuzz(f *testing.F, newShare func(t *testing.T) (a, b fsshare.Share)) {
	f.Helper()
	f.Add([]byte("\x00\x00\x01\x00\x03\x02\x01\x03\x00\x02\x03\x00\x02\x01\x00\x03\x00\x00"))             // write, read, remove, list
	f.Add([]byte("\x04\x00\x00\x06\x00\x05\x04\x00\x01\x05\x00\x00\x04\x00\x02\x06\x00\x01\x07\x00"))     // locks and commits
	f.Add([]byte("\x04\x01\x02\x04\x01\x03\x04\x01\x00\x05\x01\x00\x05\x01\x00\x04\x01\x00\x07\x01"))     // shared, then exclusive
	f.Add([]byte("\x00\x05\x01\x00\x04\x01\x02\x05\x00\x02\x04\x00\x02\x00\x00\x00\x04\x07\x03\x00\x00")) // directories become files
	f.Fuzz(func(t *testing.T, program []byte) {
		a, b := newShare(t)
		m := &machine{
			t: t, clients: [2]fsshare.Share{a, b},
			files: map[string]string{}, dirs: map[string]bool{".": true}, locks: map[string]*modelLock{},
		}
		for i := 0; i+2 < len(program) && i < 180; i += 3 {
			m.step(program[i], program[i+1], program[i+2])
		}
		m.end()
	})
}

// A machine runs one program on the share and on the model: maps of what is there.
type machine struct {
	t       *testing.T
	clients [2]fsshare.Share
	files   map[string]string
	dirs    map[string]bool
	locks   map[string]*modelLock
}

type modelLock struct {
	token     uint64
	committed bool
	data      string
	purpose   string
	held      []modelHeld
}

type modelHeld struct {
	lock   fsshare.Lock
	shared bool
	token  uint64
}

func (m *machine) step(what, which, how byte) {
	names := []string{"a", "b", "a/x", "a/y", "a/x/deep", "b/x", "c/x/deep", "../a", "c"}
	name := names[int(which)%len(names)]
	lock := "lock" + fmt.Sprint(which%2)
	s := m.clients[how/128]
	switch what % 8 {
	case 0:
		m.write(s, name, how)
	case 1:
		m.read(s, name)
	case 2:
		m.remove(s, name)
	case 3:
		m.list(s)
	case 4:
		m.lock(s, lock, how)
	case 5:
		m.unlock(lock, how)
	case 6:
		m.commit(lock, how)
	case 7:
		m.inspect(s, lock)
	}
}

// want compares an error with the kind that the model expects, nil for none.
func (m *machine) want(kind, err error, format string, args ...any) bool {
	m.t.Helper()
	if kind == nil && err != nil || !errors.Is(err, kind) {
		m.t.Fatalf("%s = %v, want %v", fmt.Sprintf(format, args...), err, kind)
	}
	return kind == nil
}

// belowFile reports whether a file is above the name.
func (m *machine) belowFile(name string) bool {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		if _, ok := m.files[dir]; ok {
			return true
		}
	}
	return false
}

func (m *machine) write(s fsshare.Share, name string, how byte) {
	opts := &fsshare.WriteOptions{MustMake: how%4 == 3}
	data := strings.Repeat(string(rune('a'+how%26)), int(how%32))
	_, exists := m.files[name]
	var kind error
	switch {
	case !fs.ValidPath(name):
		kind = fsshare.ErrInvalid
	case m.dirs[name], m.belowFile(name), exists && opts.MustMake:
		kind = fsshare.ErrConflict
	}
	info, err := s.WriteFile(m.t.Context(), name, strings.NewReader(data), opts)
	if !m.want(kind, err, "WriteFile(%q, %q, %+v)", name, data, *opts) {
		return
	}
	if info.Size != int64(len(data)) || info.Name != name {
		m.t.Fatalf("WriteFile(%q) of %d bytes = %+v", name, len(data), info)
	}
	m.files[name] = data
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		m.dirs[dir] = true
	}
}

func (m *machine) read(s fsshare.Share, name string) {
	want, exists := m.files[name]
	var kind error
	switch {
	case !fs.ValidPath(name):
		kind = fsshare.ErrInvalid
	case m.dirs[name]:
		kind = fsshare.ErrConflict
	case !exists:
		kind = fsshare.ErrNotFound
	}
	got, err := fs.ReadFile(s.FS(m.t.Context()), name)
	if m.want(kind, err, "ReadFile(%q)", name) && string(got) != want {
		m.t.Fatalf("ReadFile(%q) = %q, want %q", name, got, want)
	}
}

func (m *machine) remove(s fsshare.Share, name string) {
	var kind error
	switch {
	case !fs.ValidPath(name):
		kind = fsshare.ErrInvalid
	case m.dirs[name] && strings.Contains(m.all(), " "+name+"/"):
		kind = fsshare.ErrConflict
	}
	if m.want(kind, s.Remove(m.t.Context(), name), "Remove(%q)", name) {
		delete(m.files, name)
		delete(m.dirs, name)
	}
}

// all returns every name, each after a space.
func (m *machine) all() string {
	var names []string
	for name := range m.files {
		names = append(names, " "+name)
	}
	for name := range m.dirs {
		if name != "." {
			names = append(names, " "+name)
		}
	}
	slices.Sort(names)
	return strings.Join(names, "")
}

func (m *machine) list(s fsshare.Share) {
	var names []string
	err := fs.WalkDir(s.FS(m.t.Context()), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		if d.IsDir() != m.dirs[name] {
			return fmt.Errorf("%s: a directory, or none, unlike the model", name)
		}
		names = append(names, " "+name)
		return nil
	})
	slices.Sort(names)
	if got := strings.Join(names, ""); err != nil || got != m.all() {
		m.t.Fatalf("the share has%s (%v), want%s", got, err, m.all())
	}
}

func (m *machine) model(lock string) *modelLock {
	if m.locks[lock] == nil {
		m.locks[lock] = &modelLock{}
	}
	return m.locks[lock]
}

func (m *machine) lock(s fsshare.Share, name string, how byte) {
	model := m.model(name)
	opts := &fsshare.LockOptions{Try: true, Shared: how%4 >= 2, Purpose: fmt.Sprint("purpose ", how%8)}
	var kind error
	if len(model.held) > 0 && (!opts.Shared || !model.held[0].shared) {
		kind = fsshare.ErrConflict
	}
	l, err := s.Lock(m.t.Context(), name, opts)
	if !m.want(kind, err, "Lock(%s, %+v)", name, *opts) {
		return
	}
	if opts.Shared && l.Token() != model.token || !opts.Shared && l.Token() <= model.token {
		m.t.Fatalf("Lock(%s, %+v) has token %d after %d", name, *opts, l.Token(), model.token)
	}
	if !opts.Shared {
		model.token, model.purpose = l.Token(), opts.Purpose
	}
	model.held = append(model.held, modelHeld{l, opts.Shared, l.Token()})
}

func (m *machine) unlock(name string, how byte) {
	model := m.model(name)
	if len(model.held) == 0 {
		return
	}
	i := int(how) % len(model.held)
	held := model.held[i]
	model.held = slices.Delete(model.held, i, i+1)
	for range 2 {
		m.want(nil, held.lock.Unlock(), "Unlock(%s)", name)
	}
	m.want(fsshare.ErrLost, held.lock.Check(m.t.Context()), "Check(%s) after Unlock", name)
	if held.lock.Context().Err() == nil {
		m.t.Fatalf("the context of %s goes on after Unlock", name)
	}
}

func (m *machine) commit(name string, how byte) {
	model := m.model(name)
	if len(model.held) == 0 {
		return
	}
	held := model.held[int(how)%len(model.held)]
	data := strings.Repeat(string(rune('a'+how%26)), int(how)*2) // up to 510: more than fits
	var kind error
	if held.shared || len(data) > fsshare.MaxCommit {
		kind = fsshare.ErrInvalid
	}
	if m.want(kind, held.lock.Commit(m.t.Context(), []byte(data)), "Commit(%s, %d bytes)", name, len(data)) {
		model.committed, model.data = true, data
	}
	m.want(nil, held.lock.Check(m.t.Context()), "Check(%s)", name)
}

func (m *machine) inspect(s fsshare.Share, name string) {
	model := m.model(name)
	got, err := s.Inspect(m.t.Context(), name)
	m.want(nil, err, "Inspect(%s)", name)
	if got.Held != (len(model.held) > 0) || got.Token != model.token || got.Holder.Purpose != model.purpose ||
		(got.Data != nil) != model.committed || string(got.Data) != model.data {
		m.t.Fatalf("Inspect(%s) = %+v, want %+v", name, got, *model)
	}
}

func (m *machine) end() {
	for _, s := range m.clients {
		m.list(s)
		for name := range m.files {
			m.read(s, name)
		}
		for _, lock := range []string{"lock0", "lock1"} {
			m.inspect(s, lock)
		}
	}
	for name, model := range m.locks {
		for len(model.held) > 0 {
			m.unlock(name, 0)
		}
	}
}
