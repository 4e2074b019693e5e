package fssharetest

import (
	"fmt"
	"io/fs"
	"strings"
	"testing"

	"github.com/genaistore/genaistore/fsshare"
)

var nameCases = []promise{
	{"a name that would leave the share is ErrInvalid and changes nothing", escapes},
	{"a name at the limits is accepted, one beyond is ErrInvalid", nameLimits},
	{"names may hold what a shell would not like", oddNames},
	{"the root can be neither written nor removed", root},
	{"the share's own names cannot be used, and are not listed", ownNames},
	{"a lock's name at the limit is accepted, a wrong one is ErrInvalid", lockNames},
	{"locks of similar names are not related, nor are files of their names", oddLocks},
}

// badNames break a rule of fsshare.ValidateName.
var badNames = []string{
	"", "/", "/etc/passwd", "..", "../x", "a/../b", "a/..", "a/../../x", "./a", "a/.", "a//b", "a/", "../../../../../../tmp/x",
	"a\x00b", "a\nb", "\x7f", "\xff", "a/\xc3\x28",
	".fsshare", ".fsshare/locks/a", ".fsshare-tmp", "a/.fsshare-x",
}

func escapes(t *testing.T, w world) {
	write(t, w.a, "b", "kept")
	write(t, w.a, "a/c", "kept")
	before := list(t, w.a)
	files := w.a.FS(t.Context())
	for _, name := range badNames {
		_, err := w.a.WriteFile(t.Context(), name, strings.NewReader("x"), nil)
		wantErr(t, fmt.Sprintf("WriteFile(%q)", name), err, fsshare.ErrInvalid)
		wantErr(t, fmt.Sprintf("Remove(%q)", name), w.a.Remove(t.Context(), name), fsshare.ErrInvalid)
		wantErr(t, fmt.Sprintf("RemoveAll(%q)", name), fsshare.RemoveAll(t.Context(), w.a, name), fsshare.ErrInvalid)
		_, err = files.Open(name)
		wantErr(t, fmt.Sprintf("Open(%q)", name), err, fsshare.ErrInvalid, fs.ErrInvalid)
		_, err = fs.ReadFile(files, name)
		wantErr(t, fmt.Sprintf("ReadFile(%q)", name), err, fsshare.ErrInvalid, fs.ErrInvalid)
		_, err = fs.ReadDir(files, name)
		wantErr(t, fmt.Sprintf("ReadDir(%q)", name), err, fsshare.ErrInvalid, fs.ErrInvalid)
		_, err = fs.Stat(files, name)
		wantErr(t, fmt.Sprintf("Stat(%q)", name), err, fsshare.ErrInvalid, fs.ErrInvalid)
	}
	wantEqual(t, "the share", list(t, w.b), before)
}

func nameLimits(t *testing.T, w world) {
	long := strings.Repeat("n", fsshare.MaxName)
	deep := strings.TrimSuffix(strings.Repeat("d/", fsshare.MaxDepth), "/")
	for _, name := range []string{long, deep, "x/" + long + "/" + long} {
		write(t, w.a, name, name)
		wantEqual(t, "the file", read(t, w.b, name), name)
	}
	for _, name := range []string{long + "n", "a/" + long + "n", deep + "/d"} {
		_, err := w.a.WriteFile(t.Context(), name, strings.NewReader("x"), nil)
		wantErr(t, fmt.Sprintf("WriteFile of a name with %d bytes", len(name)), err, fsshare.ErrInvalid)
	}
}

func oddNames(t *testing.T, w world) {
	names := []string{
		"...", "..a", " ", " a ", "a b", `back\slash`, `..\up`, "-rf", "*", "?", "'\"$(x)`", "c:d", "~", "é", "e\u0301", "日本", "😀",
		".hidden", "fsshare", "x.fsshare", "%2e%2e", "a%2Fb", "CON", "file.tmp", "file~", "MANIFEST",
	}
	for _, name := range names {
		write(t, w.a, "d/"+name, name)
	}
	for _, name := range names {
		wantEqual(t, name, read(t, w.b, "d/"+name), name)
	}
	entries, err := fs.ReadDir(w.b.FS(t.Context()), "d")
	if err != nil || len(entries) != len(names) {
		t.Errorf("ReadDir = %d entries, %v, want %d", len(entries), err, len(names))
	}
}

func root(t *testing.T, w world) {
	_, err := w.a.WriteFile(t.Context(), ".", strings.NewReader("x"), nil)
	wantErr(t, "WriteFile of the root", err, fsshare.ErrInvalid)
	wantErr(t, "Remove of the root", w.a.Remove(t.Context(), "."), fsshare.ErrInvalid)
	wantEqual(t, "the share", list(t, w.b), "")
}

func ownNames(t *testing.T, w world) {
	write(t, w.a, "file", "x")
	l := w.lock(t, w.a, "lock", nil)
	commit(t, l, "data")
	wantEqual(t, "the share with a lock held", list(t, w.b), "file")
	unlock(t, l)
	wantEqual(t, "the share with a lock used", list(t, w.b), "file")
	_, err := fs.Stat(w.b.FS(t.Context()), ".fsshare")
	wantErr(t, "Stat of the share's own directory", err, fsshare.ErrInvalid)
}

func lockNames(t *testing.T, w world) {
	unlock(t, w.lock(t, w.a, strings.Repeat("l", fsshare.MaxLock), &fsshare.LockOptions{Purpose: strings.Repeat("p", fsshare.MaxPurpose)}))
	for _, name := range []string{"", strings.Repeat("l", fsshare.MaxLock+1), "a\x00b", "a\nb", "\xff"} {
		_, err := w.a.Lock(t.Context(), name, nil)
		wantErr(t, fmt.Sprintf("Lock(%.20q)", name), err, fsshare.ErrInvalid)
		_, err = w.a.Inspect(t.Context(), name)
		wantErr(t, fmt.Sprintf("Inspect(%.20q)", name), err, fsshare.ErrInvalid)
	}
	for _, purpose := range []string{strings.Repeat("p", fsshare.MaxPurpose+1), "a\nb", "\xff"} {
		_, err := w.a.Lock(t.Context(), "lock", &fsshare.LockOptions{Purpose: purpose})
		wantErr(t, fmt.Sprintf("Lock with purpose %.20q", purpose), err, fsshare.ErrInvalid)
	}
	wantEqual(t, "the token of a lock never taken", inspect(t, w.b, "lock").Token, 0)
}

func oddLocks(t *testing.T, w world) {
	names := []string{
		"a", "A", "a/b", "a%2Fb", "a%2fb", "a_b", "a b", ".", "..", "../a", "/", "/a", "a/", ".fsshare", "é", "e\u0301", "日本", "*",
		strings.Repeat("x", 256), strings.Repeat("x", 255), strings.Repeat("é", 128),
	}
	write(t, w.a, "file", "x")
	write(t, w.a, "a/b", "x")
	for i, name := range names {
		l := w.try(t, w.a, name, fsshare.LockOptions{})
		if l == nil {
			t.Fatalf("Lock(%q): held, though only others are", name)
		}
		wantEqual(t, "the first token", l.Token(), 1)
		commit(t, l, fmt.Sprint(i))
	}
	for i, name := range names {
		wantEqual(t, fmt.Sprintf("what is committed under %q", name), string(inspect(t, w.b, name).Data), fmt.Sprint(i))
		write(t, w.b, "of/"+fmt.Sprint(i), "x")
	}
	l := w.lock(t, w.a, "file", nil)
	write(t, w.b, "file", "a lock is no obstacle")
	remove(t, w.b, "file")
	unlock(t, l)
	wantEqual(t, "a/b", read(t, w.b, "a/b"), "x")
}
