package main

import (
	"archive/zip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/gofrs/flock"

	"github.com/genaistore/genaistore"
)

const (
	stateFile = "stores.zip"
	stateLock = "lock"
)

// A snapshotter is an in-memory store that can be saved and loaded.
type snapshotter interface {
	Snapshot(w io.Writer) error
	Restore(r io.Reader) error
}

// parts returns the stores that a state holds, by the name of their entry.
func parts(s genaistore.Stores) map[string]any {
	return map[string]any{"memory": s.Memory, "artifacts": s.Artifacts, "vectors": s.Vectors, "files": s.Files}
}

// A state is a folder that keeps in-memory stores between commands: one zip
// file, replaced whole, and a lock that keeps a second program out. No reader sees
// half a state: the new file is written beside the old one, made durable, and
// renamed over it.
type state struct {
	dir  string
	lock *flock.Flock
}

// openState locks the folder. It makes it if need be.
func openState(dir string) (*state, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state folder %s: %w: choose another with --state", dir, err)
	}
	lock := flock.New(filepath.Join(dir, stateLock))
	locked, err := lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("state folder %s: %w: choose another with --state", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("state folder %s is in use by another assistant: wait for it, or choose another with --state", dir)
	}
	return &state{dir, lock}, nil
}

func (s *state) close() error { return s.lock.Close() }

// load fills empty stores from the folder, if there is anything.
func (s *state) load(ctx context.Context, stores genaistore.Stores) (err error) {
	path := filepath.Join(s.dir, stateFile)
	archive, err := zip.OpenReader(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return s.corrupt(err)
	}
	defer func() { err = errors.Join(err, archive.Close()) }()
	for name, store := range parts(stores) {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := restore(&archive.Reader, name, store); err != nil {
			return s.corrupt(fmt.Errorf("%s: %w", name, err))
		}
	}
	return nil
}

func (s *state) corrupt(err error) error {
	return fmt.Errorf("saved state %s cannot be read: %w: it was left as it is; restore a copy, remove it, or choose another folder with --state",
		filepath.Join(s.dir, stateFile), err)
}

func restore(archive *zip.Reader, name string, store any) error {
	f, err := archive.Open(name)
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	snap, ok := store.(snapshotter)
	if !ok {
		return fmt.Errorf("%T keeps no snapshots", store)
	}
	return snap.Restore(f)
}

// save replaces the saved state. After an error the old one is still there.
func (s *state) save(stores genaistore.Stores) (err error) {
	f, err := os.CreateTemp(s.dir, ".stores-*")
	if err != nil {
		return fmt.Errorf("save state: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("save state: %w", err), os.Remove(f.Name()))
		}
	}()
	archive := zip.NewWriter(f)
	for name, store := range parts(stores) {
		// Vectors do not compress, and text is small beside them.
		w, err := archive.CreateHeader(&zip.FileHeader{Name: name, Method: zip.Store})
		if err != nil {
			return errors.Join(err, f.Close())
		}
		snap, ok := store.(snapshotter)
		if !ok {
			return errors.Join(fmt.Errorf("%T keeps no snapshots", store), f.Close())
		}
		if err := snap.Snapshot(w); err != nil {
			return errors.Join(err, f.Close())
		}
	}
	if err := errors.Join(archive.Close(), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(s.dir, stateFile))
}
