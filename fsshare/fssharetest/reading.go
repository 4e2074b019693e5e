package fssharetest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"testing"
	"testing/fstest"

	"github.com/genaistore/genaistore/fsshare"
)

var readCases = []promise{
	{"FS passes testing/fstest", fsTest},
	{"FS of an empty share is an empty directory", fsEmpty},
	{"FS passes testing/fstest below Sub, which cannot be left", fsSub},
	{"each call sees what another client wrote", fsFresh},
	{"each call sees what another client removed", fsFreshRemove},
	{"an open file keeps its bytes when it is replaced", openReplaced},
	{"an open file keeps its bytes when it is removed", openRemoved},
	{"an absent name is ErrNotFound, also below a file", fsAbsent},
	{"a directory read as a file, and a file listed, are ErrConflict", fsWrongKind},
	{"what was read is the caller's to change", fsCopies},
}

func fsTest(t *testing.T, w world) {
	names := []string{"top", "a/one", "a/two", "a/b/c/deep", "z/.hidden"}
	for _, name := range names {
		write(t, w.a, name, "content of "+name)
	}
	write(t, w.a, "empty/file", "")
	write(t, w.a, "bare/file", "")
	remove(t, w.a, "bare/file")
	unlock(t, w.lock(t, w.a, "lock", nil))
	if err := fstest.TestFS(w.b.FS(t.Context()), append(names, "empty/file", "bare")...); err != nil {
		t.Error(err)
	}
}

func fsEmpty(t *testing.T, w world) {
	if err := fstest.TestFS(w.a.FS(t.Context())); err != nil {
		t.Error(err)
	}
	wantEqual(t, "the share", list(t, w.b), "")
}

func fsSub(t *testing.T, w world) {
	write(t, w.a, "secret", "x")
	write(t, w.a, "a/b/file", "y")
	sub, err := fs.Sub(w.b.FS(t.Context()), "a")
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(sub, "b/file"); err != nil {
		t.Error(err)
	}
	for _, name := range []string{"../secret", "..", "b/../../secret", "/secret"} {
		_, err := fs.ReadFile(sub, name)
		wantErr(t, fmt.Sprintf("ReadFile(%q) below Sub", name), err, fs.ErrInvalid)
	}
	_, err = fs.Sub(w.b.FS(t.Context()), "a/..")
	wantErr(t, "Sub of a name that is none", err, fs.ErrInvalid)
}

func fsFresh(t *testing.T, w world) {
	files := w.b.FS(t.Context())
	// An open file must not keep the others old, nor an answer that it is absent.
	var kept []fs.File
	defer func() {
		for _, f := range kept {
			f.Close()
		}
	}()
	for i := range 20 {
		if _, err := fs.Stat(files, fmt.Sprintf("d/flag%d", i)); !errors.Is(err, fs.ErrNotExist) {
			t.Fatalf("Stat of an absent file = %v", err)
		}
		want := fmt.Sprintf("version %0*d", i+1, i)
		write(t, w.a, "d/file", want)
		write(t, w.a, fmt.Sprintf("d/flag%d", i), "x")
		stat, err := fs.Stat(files, "d/file")
		if err != nil || stat.Size() != int64(len(want)) {
			t.Fatalf("Stat = %v, %v, want size %d", stat, err, len(want))
		}
		wantEqual(t, "d/file", read(t, w.b, "d/file"), want)
		entries, err := fs.ReadDir(files, "d")
		if err != nil || len(entries) != i+2 {
			t.Fatalf("ReadDir = %d entries, %v, want %d", len(entries), err, i+2)
		}
		if _, err := fs.Stat(files, fmt.Sprintf("d/flag%d", i)); err != nil {
			t.Fatalf("Stat of a new file = %v", err)
		}
		f, err := files.Open("d/file")
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f)
	}
}

func fsFreshRemove(t *testing.T, w world) {
	files := w.b.FS(t.Context())
	for i := range 20 {
		name := fmt.Sprintf("d/file%d", i)
		write(t, w.a, name, "x")
		wantEqual(t, name, read(t, w.b, name), "x")
		remove(t, w.a, name)
		_, err := fs.ReadFile(files, name)
		wantErr(t, "ReadFile of a removed file", err, fsshare.ErrNotFound)
		_, err = fs.Stat(files, name)
		wantErr(t, "Stat of a removed file", err, fsshare.ErrNotFound)
		wantEqual(t, "the share", list(t, w.b), "d/")
	}
}

func openAndHalf(t *testing.T, s fsshare.Share) fs.File {
	t.Helper()
	f, err := s.FS(t.Context()).Open("file")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	half := make([]byte, 3)
	if _, err := io.ReadFull(f, half); err != nil || string(half) != "old" {
		t.Fatalf("Read = %q, %v", half, err)
	}
	return f
}

func wantRest(t *testing.T, f fs.File) {
	t.Helper()
	rest, err := io.ReadAll(f)
	if err != nil || string(rest) != " bytes" {
		t.Errorf("the rest of an open file = %q, %v", rest, err)
	}
	stat, err := f.Stat()
	if err != nil || stat.Size() != int64(len("old bytes")) {
		t.Errorf("Stat of an open file = %v, %v", stat, err)
	}
}

func openReplaced(t *testing.T, w world) {
	write(t, w.a, "file", "old bytes")
	f := openAndHalf(t, w.b)
	write(t, w.a, "file", "entirely new")
	wantRest(t, f)
	wantEqual(t, "file", read(t, w.b, "file"), "entirely new")
}

func openRemoved(t *testing.T, w world) {
	write(t, w.a, "file", "old bytes")
	f := openAndHalf(t, w.b)
	remove(t, w.a, "file")
	wantRest(t, f)
	_, err := fs.Stat(w.b.FS(t.Context()), "file")
	wantErr(t, "Stat of a removed file", err, fsshare.ErrNotFound)
}

func fsAbsent(t *testing.T, w world) {
	write(t, w.a, "file", "x")
	files := w.b.FS(t.Context())
	for _, name := range []string{"absent", "no/such", "file/below", "file/below/it"} {
		_, openErr := files.Open(name)
		_, readErr := fs.ReadFile(files, name)
		_, dirErr := fs.ReadDir(files, name)
		_, statErr := fs.Stat(files, name)
		for op, err := range map[string]error{"Open": openErr, "ReadFile": readErr, "ReadDir": dirErr, "Stat": statErr} {
			wantErr(t, fmt.Sprintf("%s(%q)", op, name), err, fsshare.ErrNotFound, fs.ErrNotExist)
			if pathErr, ok := errors.AsType[*fs.PathError](err); !ok || pathErr.Path != name {
				t.Errorf("%s(%q) = %v, want an *fs.PathError of that path", op, name, err)
			}
		}
	}
}

func fsWrongKind(t *testing.T, w world) {
	write(t, w.a, "d/file", "x")
	files := w.b.FS(t.Context())
	_, err := fs.ReadFile(files, "d")
	wantErr(t, "ReadFile of a directory", err, fsshare.ErrConflict)
	_, err = fs.ReadFile(files, ".")
	wantErr(t, "ReadFile of the root", err, fsshare.ErrConflict)
	_, err = fs.ReadDir(files, "d/file")
	wantErr(t, "ReadDir of a file", err, fsshare.ErrConflict)
	f, err := files.Open("d")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = f.Read(make([]byte, 1))
	wantErr(t, "Read of an open directory", err, fsshare.ErrConflict)
}

func fsCopies(t *testing.T, w world) {
	write(t, w.a, "file", "kept")
	data, err := fs.ReadFile(w.a.FS(t.Context()), "file")
	if err != nil {
		t.Fatal(err)
	}
	clear(data)
	wantEqual(t, "file", read(t, w.a, "file"), "kept")
	entries, err := fs.ReadDir(w.a.FS(t.Context()), ".")
	if err != nil {
		t.Fatal(err)
	}
	clear(entries)
	wantEqual(t, "the share", list(t, w.a), "file")
}
