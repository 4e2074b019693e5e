package efsshare

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"time"

	"github.com/genaistore/genaistore/fsshare"
	"github.com/genaistore/genaistore/fsshare/internal/kernel"
)

// Append adds data at the end of a file, which it makes if there is none, under a
// lock of the file itself, and returns when the server has it: no record of many
// appenders on many machines is lost or mixed with another. After a crash in the
// midst, the last record may be there in part. O_APPEND alone does not do this on
// NFS. A file of its own for each writer is faster, and needs no lock.
func (s *Share) Append(ctx context.Context, name string, data []byte) error {
	if err := s.append(ctx, name, data); err != nil {
		return wrap("append to", name, kind(err))
	}
	return nil
}

func (s *Share) append(ctx context.Context, name string, data []byte) error {
	if err := cmp.Or(validateFile(name), ended(ctx), s.refusal()); err != nil {
		return err
	}
	data = append([]byte{}, data...) // the caller may leave and change it
	for start := time.Now(); ; {
		done, err := call(ctx, s.pool, func() (bool, error) { return s.appendOnce(name, data) }, nil)
		if err != nil || done {
			return err
		}
		timer := time.NewTimer(min(max(firstRest, time.Since(start)/restPart), lastRest))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ended(ctx)
		}
	}
}

// appendOnce returns false if another has the file's lock, or has replaced the file.
func (s *Share) appendOnce(name string, data []byte) (done bool, err error) {
	var f kernel.File
	err = s.unstale(func() (err error) {
		const mode = 0o644
		if err = s.root.MkdirAll(path.Dir(name), dirMode); err == nil {
			f, err = s.root.OpenFile(name, os.O_RDWR|os.O_CREATE|kernel.NonBlock, mode)
		}
		return err
	})
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if busy, err := f.LockByte(kernel.Exclusive, mainAt); busy || err != nil {
		return false, err
	}
	// With the lock, what the client knows of the file is what the server knows.
	info, err := f.Stat()
	if err != nil {
		return false, err
	}
	if !info.Mode().IsRegular() {
		return false, fmt.Errorf("%w: not a file, but %v", fsshare.ErrConflict, info.Mode().Type())
	}
	if replaced, err := s.replaced(name, info); replaced || err != nil {
		return false, err
	}
	if _, err := f.WriteAt(data, info.Size()); err != nil {
		return false, err
	}
	return true, f.DataSync()
}

// replaced reports whether the name is another file's by now.
func (s *Share) replaced(name string, info fs.FileInfo) (bool, error) {
	if err := refresh(s.root); err != nil {
		return false, err
	}
	now, err := s.root.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && !kernel.SameFile(now, info), err
}
