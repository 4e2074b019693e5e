package fssharetest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"github.com/genaistore/genaistore/fsshare"
)

var fileCases = []promise{
	{"WriteFile makes the file and the directories above", writeMakes},
	{"WriteFile returns what reading then shows", writeInfo},
	{"a file of any size comes back", writeSizes},
	{"a shorter file leaves nothing of a longer one", writeShorter},
	{"a reader sees the old bytes or the new, never a mix", writeAtomic},
	{"an error of the reader keeps the old file, or none", writeFails},
	{"a context that ends between two reads keeps the old file", writeCanceled},
	{"WriteFile shows nothing, and holds no lock, while it reads", writeReentry},
	{"the mode is what was asked for, whatever it was", writeModes},
	{"a mode with more than permissions is ErrInvalid and changes nothing", writeBadMode},
	{"a nil reader is ErrInvalid and changes nothing", writeNil},
	{"MustMake makes what is absent, and is ErrConflict for what is there", mustMake},
	{"of many that MustMake one file, one does", mustMakeRace},
	{"writing a directory is ErrConflict and changes nothing", writeDir},
	{"writing below a file is ErrConflict and changes nothing", writeBelowFile},
	{"Remove removes a file, and an absent one is no error", removeFile},
	{"Remove removes an empty directory, and a full one is ErrConflict", removeDir},
	{"a directory stays when the last file in it goes", dirStays},
	{"Remove below a file is no error and changes nothing", removeBelowFile},
	{"many may write into one directory at the same time", writeTogether},
	{"WriteFile succeeds while another removes the directory", writeVersusRemove},
	{"RemoveAll removes a directory with all that is in it, and nothing else", removeAll},
}

func writeMakes(t *testing.T, w world) {
	write(t, w.a, "a/b/c/file", "x")
	write(t, w.a, "top", "y")
	wantEqual(t, "the share", list(t, w.b), "a/ a/b/ a/b/c/ a/b/c/file top")
	wantEqual(t, "a/b/c/file", read(t, w.b, "a/b/c/file"), "x")
}

func writeInfo(t *testing.T, w world) {
	before := time.Now()
	info := write(t, w.a, "d/file", "hello")
	stat, err := fs.Stat(w.b.FS(t.Context()), "d/file")
	if err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "Name", info.Name, "d/file")
	wantEqual(t, "Size", info.Size, 5)
	wantEqual(t, "SHA256", info.SHA256, sha256.Sum256([]byte("hello")))
	wantEqual(t, "Stat's name", stat.Name(), "file")
	wantEqual(t, "Stat's size", stat.Size(), 5)
	if !stat.ModTime().Equal(info.Modified) {
		t.Errorf("Modified = %v, and Stat says %v", info.Modified, stat.ModTime())
	}
	// The server's clock may be off, but not by a day.
	if d := info.Modified.Sub(before); d < -24*time.Hour || d > 24*time.Hour {
		t.Errorf("Modified = %v, written at %v", info.Modified, before)
	}
}

func writeSizes(t *testing.T, w world) {
	for _, size := range []int{0, 1, 4095, 4096, 4097, 3<<20 + 1} {
		data := strings.Repeat("0123456789abcdef", size/16+1)[:size]
		// One byte at a time is a reader's right, but slow for megabytes.
		r := io.Reader(strings.NewReader(data))
		if size < 1<<20 {
			r = iotest.OneByteReader(iotest.DataErrReader(r))
		}
		info, err := w.a.WriteFile(t.Context(), "file", r, nil)
		if err != nil || info.Size != int64(size) {
			t.Fatalf("WriteFile of %d bytes = size %d, %v", size, info.Size, err)
		}
		if read(t, w.b, "file") != data {
			t.Fatalf("a file of %d bytes came back changed", size)
		}
	}
}

func writeShorter(t *testing.T, w world) {
	write(t, w.a, "file", "a long content")
	write(t, w.b, "file", "short")
	wantEqual(t, "file", read(t, w.a, "file"), "short")
}

func writeAtomic(t *testing.T, w world) {
	content := func(i int) []byte { return bytes.Repeat([]byte{byte('a' + i%26)}, 1000+i%7*5000) }
	whole := func(data []byte) bool {
		return len(data) >= 1000 && (len(data)-1000)%5000 == 0 && len(bytes.TrimLeft(data, string(data[0]))) == 0
	}
	if _, err := w.a.WriteFile(t.Context(), "file", bytes.NewReader(content(0)), nil); err != nil {
		t.Fatal(err)
	}
	var done atomic.Bool
	var wg sync.WaitGroup
	for _, s := range []fsshare.Share{w.a, w.b} {
		wg.Go(func() {
			for reads := 0; !done.Load() || reads < 10; reads++ {
				data, err := fs.ReadFile(s.FS(t.Context()), "file")
				if err != nil || !whole(data) {
					t.Errorf("a reader saw %d bytes, %v", len(data), err)
					return
				}
			}
		})
	}
	for i := range 200 {
		// Chunks with a pause between them: a store that writes in place is seen.
		r := iotest.HalfReader(bytes.NewReader(content(i)))
		if _, err := w.a.WriteFile(t.Context(), "file", r, nil); err != nil {
			t.Error(err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}

func writeFails(t *testing.T, w world) {
	boom := errors.New("boom")
	failing := func() io.Reader { return io.MultiReader(strings.NewReader("new"), iotest.ErrReader(boom)) }
	write(t, w.a, "d/file", "old")
	_, err := w.a.WriteFile(t.Context(), "d/file", failing(), nil)
	wantErr(t, "WriteFile", err, boom)
	wantEqual(t, "the file after a failed WriteFile", read(t, w.b, "d/file"), "old")
	_, err = w.a.WriteFile(t.Context(), "d/absent", failing(), nil)
	wantErr(t, "WriteFile", err, boom)
	wantEqual(t, "the share after failed writes", list(t, w.b), "d/ d/file")
	write(t, w.a, "d/file", "newer")
	wantEqual(t, "the file after a repeat", read(t, w.b, "d/file"), "newer")
}

// endless yields bytes for as long as at, which it calls before each Read, has
// no error.
type endless struct{ at func() error }

func (e endless) Read(p []byte) (int, error) {
	if err := e.at(); err != nil {
		return 0, err
	}
	return copy(p, "more"), nil
}

func writeCanceled(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	ctx, cancel := context.WithCancel(w.limit(t))
	reads := 0
	_, err := w.a.WriteFile(ctx, "file", endless{func() error {
		switch reads++; reads {
		case 3:
			cancel()
		case 1000:
			return errors.New("the context is not heeded")
		}
		return nil
	}}, nil)
	wantErr(t, "WriteFile", err, context.Canceled)
	wantEqual(t, "the file", read(t, w.b, "file"), "old")
	wantEqual(t, "the share", list(t, w.b), "file")
}

func writeReentry(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	write(t, w.a, "d/x", "old")
	remove(t, w.a, "d/x")
	reads := 0
	r := readFunc(func(p []byte) (int, error) {
		if reads++; reads > 1 {
			return 0, io.EOF
		}
		write(t, w.a, "other", "x") // deadlocks if a lock is held
		wantEqual(t, "the share while a file is written", list(t, w.b), "d/ file other")
		unlock(t, w.lock(t, w.a, "lock", nil))
		return copy(p, read(t, w.a, "file")+"+new"), nil
	})
	if _, err := w.a.WriteFile(t.Context(), "file", r, nil); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "file", read(t, w.b, "file"), "old+new")
	reads = 0
	if _, err := w.a.WriteFile(t.Context(), "d/new", r, nil); err != nil {
		t.Fatal(err)
	}
	wantEqual(t, "the share", list(t, w.b), "d/ d/new file other")
}

type readFunc func(p []byte) (int, error)

func (f readFunc) Read(p []byte) (int, error) { return f(p) }

func writeModes(t *testing.T, w world) {
	for _, mode := range []fs.FileMode{0o600, 0, 0o666, 0o755, 0o444} {
		want := mode
		if mode == 0 {
			want = 0o644
		}
		if _, err := w.a.WriteFile(t.Context(), "file", strings.NewReader("x"), &fsshare.WriteOptions{Mode: mode}); err != nil {
			t.Fatal(err)
		}
		stat, err := fs.Stat(w.b.FS(t.Context()), "file")
		if err != nil {
			t.Fatal(err)
		}
		wantEqual(t, "the mode", stat.Mode(), want)
	}
}

func writeBadMode(t *testing.T, w world) {
	write(t, w.a, "file", "old")
	for _, mode := range []fs.FileMode{fs.ModeDir | 0o755, fs.ModeSymlink, fs.ModeSetuid | 0o755, 0o644 | fs.ModeSticky} {
		_, err := w.a.WriteFile(t.Context(), "file", strings.NewReader("new"), &fsshare.WriteOptions{Mode: mode})
		wantErr(t, fmt.Sprintf("WriteFile with mode %v", mode), err, fsshare.ErrInvalid)
	}
	wantEqual(t, "file", read(t, w.b, "file"), "old")
}

func writeNil(t *testing.T, w world) {
	_, err := w.a.WriteFile(t.Context(), "d/file", nil, nil)
	wantErr(t, "WriteFile", err, fsshare.ErrInvalid)
	wantEqual(t, "the share", list(t, w.b), "")
}

func mustMake(t *testing.T, w world) {
	opts := &fsshare.WriteOptions{MustMake: true}
	if _, err := w.a.WriteFile(t.Context(), "d/file", strings.NewReader("first"), opts); err != nil {
		t.Fatal(err)
	}
	for _, s := range []fsshare.Share{w.a, w.b} {
		_, err := s.WriteFile(t.Context(), "d/file", strings.NewReader("second"), opts)
		wantErr(t, "WriteFile of a file that exists", err, fsshare.ErrConflict)
	}
	wantEqual(t, "d/file", read(t, w.b, "d/file"), "first")
	remove(t, w.b, "d/file")
	if _, err := w.a.WriteFile(t.Context(), "d/file", strings.NewReader("third"), opts); err != nil {
		t.Errorf("WriteFile of a removed file = %v", err)
	}
}

func mustMakeRace(t *testing.T, w world) {
	for round := range 10 {
		name := fmt.Sprintf("file%d", round)
		var won sync.Map
		var reading sync.WaitGroup
		reading.Add(8)
		w.both(4, func(i int, s fsshare.Share) {
			data := strings.NewReader(fmt.Sprint("writer ", i))
			begun := false
			r := readFunc(func(p []byte) (int, error) {
				if !begun { // the file is absent for all of them
					begun = true
					reading.Done()
					reading.Wait()
				}
				return data.Read(p)
			})
			_, err := s.WriteFile(t.Context(), name, r, &fsshare.WriteOptions{MustMake: true})
			if !begun {
				t.Errorf("WriteFile of an absent file = %v, and read nothing", err)
				reading.Done()
			}
			if err == nil {
				won.Store(fmt.Sprint("writer ", i), true)
			} else if !errors.Is(err, fsshare.ErrConflict) {
				t.Errorf("WriteFile = %v, want nil or ErrConflict", err)
			}
		})
		n := 0
		won.Range(func(any, any) bool { n++; return true })
		if _, ok := won.Load(read(t, w.b, name)); !ok || n != 1 {
			t.Fatalf("%d writers made the file, and it is by %q", n, read(t, w.b, name))
		}
	}
}

func writeDir(t *testing.T, w world) {
	write(t, w.a, "d/e/file", "x")
	for _, name := range []string{"d", "d/e"} {
		_, err := w.a.WriteFile(t.Context(), name, strings.NewReader("y"), nil)
		wantErr(t, "WriteFile of a directory", err, fsshare.ErrConflict)
	}
	remove(t, w.a, "d/e/file")
	_, err := w.a.WriteFile(t.Context(), "d/e", strings.NewReader("y"), nil)
	wantErr(t, "WriteFile of an empty directory", err, fsshare.ErrConflict)
	wantEqual(t, "the share", list(t, w.b), "d/ d/e/")
}

func writeBelowFile(t *testing.T, w world) {
	write(t, w.a, "d/file", "x")
	for _, name := range []string{"d/file/a", "d/file/a/b"} {
		_, err := w.a.WriteFile(t.Context(), name, strings.NewReader("y"), nil)
		wantErr(t, "WriteFile below a file", err, fsshare.ErrConflict)
	}
	wantEqual(t, "the share", list(t, w.b), "d/ d/file")
	wantEqual(t, "d/file", read(t, w.b, "d/file"), "x")
}

func removeFile(t *testing.T, w world) {
	write(t, w.a, "d/file", "x")
	write(t, w.a, "d/other", "y")
	remove(t, w.b, "d/file")
	wantEqual(t, "the share", list(t, w.a), "d/ d/other")
	for _, name := range []string{"d/file", "absent", "no/such/dir"} {
		remove(t, w.a, name)
	}
	wantEqual(t, "the share", list(t, w.b), "d/ d/other")
}

func removeDir(t *testing.T, w world) {
	write(t, w.a, "d/e/file", "x")
	for _, name := range []string{"d", "d/e"} {
		wantErr(t, "Remove of a full directory", w.b.Remove(t.Context(), name), fsshare.ErrConflict)
	}
	wantEqual(t, "the share", list(t, w.b), "d/ d/e/ d/e/file")
	for _, name := range []string{"d/e/file", "d/e", "d"} {
		remove(t, w.b, name)
	}
	wantEqual(t, "the share", list(t, w.a), "")
	write(t, w.a, "d", "a file now")
	wantEqual(t, "d", read(t, w.b, "d"), "a file now")
}

func dirStays(t *testing.T, w world) {
	write(t, w.a, "d/e/file", "x")
	remove(t, w.a, "d/e/file")
	wantEqual(t, "the share", list(t, w.b), "d/ d/e/")
}

func removeBelowFile(t *testing.T, w world) {
	write(t, w.a, "file", "x")
	remove(t, w.a, "file/below")
	remove(t, w.a, "file/below/it")
	wantEqual(t, "file", read(t, w.b, "file"), "x")
}

func writeTogether(t *testing.T, w world) {
	const each = 20
	var wg sync.WaitGroup
	for i, s := range []fsshare.Share{w.a, w.b, w.a, w.b} {
		wg.Go(func() {
			for j := range each {
				name := fmt.Sprintf("d/%d/%d", j%3, i*each+j)
				if _, err := s.WriteFile(t.Context(), name, strings.NewReader(name), nil); err != nil {
					t.Errorf("WriteFile = %v", err)
				}
			}
		})
	}
	wg.Wait()
	for i := range 4 * each {
		name := fmt.Sprintf("d/%d/%d", i%each%3, i)
		wantEqual(t, name, read(t, w.b, name), name)
	}
}

func writeVersusRemove(t *testing.T, w world) {
	var done atomic.Bool
	var wg sync.WaitGroup
	wg.Go(func() {
		for !done.Load() {
			for _, name := range []string{"d/e/file", "d/e", "d"} {
				if err := w.b.Remove(t.Context(), name); err != nil && !errors.Is(err, fsshare.ErrConflict) {
					t.Errorf("Remove = %v, want nil or ErrConflict", err)
					return
				}
			}
		}
	})
	for range 100 {
		if _, err := w.a.WriteFile(t.Context(), "d/e/file", strings.NewReader("x"), nil); err != nil {
			t.Errorf("WriteFile = %v", err)
			break
		}
	}
	done.Store(true)
	wg.Wait()
}

func removeAll(t *testing.T, w world) {
	for i := range 40 {
		write(t, w.a, fmt.Sprintf("d/%d/%d/file", i%3, i), "x")
	}
	write(t, w.a, "d2/file", "x")
	write(t, w.a, "e", "x")
	for _, name := range []string{"d", "e", "absent", "d2/file/below"} {
		if err := fsshare.RemoveAll(t.Context(), w.b, name); err != nil {
			t.Errorf("RemoveAll(%q) = %v", name, err)
		}
	}
	wantErr(t, "RemoveAll of the root", fsshare.RemoveAll(t.Context(), w.b, "."), fsshare.ErrInvalid)
	wantEqual(t, "the share", list(t, w.a), "d2/ d2/file")
}
