package artifactstest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"
	"testing/fstest"
	"testing/iotest"

	"github.com/genaistore/genaistore/artifacts"
)

// open opens a file of version 1.
func (x *fixture) open(path string) artifacts.File {
	x.Helper()
	f, err := x.Open(x.Context(), x.id(1), path)
	if err != nil {
		x.Fatalf("Open(%s): %v", path, err)
	}
	return f
}

var reading = []promise{
	{"FS passes testing/fstest", func(x *fixture) {
		x.publish(files("a", "1", "a.b", "2", "d/e/f", "", "d/e.x", "22", "d-x/y", "333"), nil)
		if err := fstest.TestFS(artifacts.FS(x.Context(), x, x.id(1)), "a", "a.b", "d/e/f", "d/e.x", "d-x/y"); err != nil {
			x.Error(err)
		}
	}},
	{"an open file reads like one of a disk", func(x *fixture) {
		data := strings.Repeat("0123456789", 20_000)
		x.publish(files("d/f", data), nil)
		f := x.open("d/f")
		if err := iotest.TestReader(f, []byte(data)); err != nil {
			x.Error(err)
		}
		buf := make([]byte, 10)
		if n, err := f.ReadAt(buf, int64(len(data))-4); n != 4 || !errors.Is(err, io.EOF) {
			x.Errorf("ReadAt near the end = %d, %v, want 4, EOF", n, err)
		}
		if n, err := f.ReadAt(buf, int64(len(data))+4); n != 0 || !errors.Is(err, io.EOF) {
			x.Errorf("ReadAt past the end = %d, %v, want 0, EOF", n, err)
		}
		if n, err := f.ReadAt(buf, -1); n != 0 || err == nil {
			x.Errorf("ReadAt before the start = %d, %v, want an error", n, err)
		}
		if _, err := f.Seek(3, io.SeekStart); err != nil {
			x.Fatal(err)
		}
		if _, err := f.ReadAt(buf, 100); err != nil {
			x.Fatal(err)
		}
		if n, err := io.ReadFull(f, buf[:2]); err != nil || string(buf[:2]) != "34" {
			x.Errorf("Read after a ReadAt = %d, %v, %q, want what follows the Seek", n, err, buf[:2])
		}
		if at, err := f.Seek(-5, io.SeekEnd); at != int64(len(data))-5 || err != nil {
			x.Errorf("Seek = %d, %v", at, err)
		}
		rest, err := io.ReadAll(f)
		wantErr(x, "read to the end", err, nil)
		want(x, "the last bytes", string(rest), "56789")
		if _, err := f.Seek(-1, io.SeekStart); err == nil {
			x.Error("Seek before the start is no error")
		}
		if _, err := f.Seek(0, 9); err == nil {
			x.Error("Seek from nowhere is no error")
		}
		if _, err := f.ReadDir(-1); err == nil {
			x.Error("ReadDir of a file is no error")
		}
		wantErr(x, "Close", f.Close(), nil)
	}},
	{"ranges of a file may be read at the same time", func(x *fixture) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 8<<10)
		x.publish(files("f", string(data)), nil)
		f := x.open("f")
		defer func() { _ = f.Close() }()
		var wg sync.WaitGroup
		for i := range 16 {
			wg.Go(func() {
				got, at := make([]byte, 1000), i*8000
				if n, err := f.ReadAt(got, int64(at)); n != len(got) || err != nil || !bytes.Equal(got, data[at:at+n]) {
					x.Errorf("ReadAt(%d) = %d, %v, or other bytes", at, n, err)
				}
			})
		}
		wg.Wait()
	}},
	{"Stat and Info say the same, and have the time of the version", func(x *fixture) {
		v := x.publish(files("d/f.json", "{}"), nil).Version
		f := x.open("d/f.json")
		defer func() { _ = f.Close() }()
		stat, err := f.Stat()
		if err != nil {
			x.Fatal(err)
		}
		want(x, "name and size", fmt.Sprint(stat.Name(), stat.Size(), stat.IsDir(), stat.Mode().IsRegular()), "f.json2 false true")
		want(x, "Sys", stat.Sys(), any(f.Info()))
		if !stat.ModTime().Equal(v.Created) {
			x.Errorf("time %v, want %v", stat.ModTime(), v.Created)
		}
		info := f.Info()
		want(x, "info", fmt.Sprint(info.Path, info.Size, info.MediaType), "d/f.json2application/json")
	}},
	{"a directory lists its entries by name, in parts, and again", func(x *fixture) {
		x.publish(files("d/b", "1", "d/a/x", "", "d/a/y", "", "d/a.z", "", "d/c", "", "e", ""), nil)
		d := x.open("d")
		want(x, "info", d.Info(), artifacts.FileInfo{Path: "d"})
		stat, err := d.Stat()
		if err != nil || !stat.IsDir() || stat.Name() != "d" || !stat.Mode().IsDir() {
			x.Errorf("Stat = %v, %v, want a directory", stat, err)
		}
		for range 2 {
			var got []string
			for {
				entries, err := d.ReadDir(3)
				for _, e := range entries {
					got = append(got, fmt.Sprintf("%s %t", e.Name(), e.IsDir()))
				}
				if errors.Is(err, io.EOF) && len(entries) == 0 {
					break
				}
				if err != nil || len(entries) == 0 {
					x.Fatalf("ReadDir = %v, %v", entries, err)
				}
			}
			equal(x, "entries", got, []string{"a true", "a.z false", "b false", "c false"}, slices.Equal)
			entries, err := d.ReadDir(-1)
			if len(entries) != 0 || err != nil {
				x.Errorf("ReadDir of the rest = %v, %v, want nothing", entries, err)
			}
			if _, err := d.Seek(0, io.SeekStart); err != nil {
				x.Fatal(err)
			}
		}
		if _, err := d.Read(make([]byte, 1)); err == nil {
			x.Error("Read of a directory is no error")
		}
		if _, err := d.ReadAt(make([]byte, 1), 0); err == nil {
			x.Error("ReadAt of a directory is no error")
		}
		wantErr(x, "Close", d.Close(), nil)
		root := x.open(".")
		entries, err := root.ReadDir(-1)
		if err != nil || len(entries) != 2 || entries[0].Name() != "d" || entries[1].Name() != "e" {
			x.Errorf("the root has %v, %v, want d and e", entries, err)
		}
		wantErr(x, "Close", root.Close(), nil)
	}},
	{"a closed file fails with fs.ErrClosed", func(x *fixture) {
		x.publish(files("d/f", "1"), nil)
		for _, path := range []string{"d/f", "d"} {
			f := x.open(path)
			wantErr(x, "Close", f.Close(), nil)
			_, errRead := f.Read(make([]byte, 1))
			_, errAt := f.ReadAt(make([]byte, 1), 0)
			_, errSeek := f.Seek(0, io.SeekStart)
			_, errStat := f.Stat()
			_, errDir := f.ReadDir(1)
			for what, err := range map[string]error{"Read": errRead, "ReadAt": errAt, "Seek": errSeek, "Stat": errStat, "ReadDir": errDir, "Close": f.Close()} {
				wantErr(x, what+" of "+path+" after Close", err, fs.ErrClosed)
			}
		}
	}},
	{"Open of what is not there is ErrNotFound", func(x *fixture) {
		x.publish(files("d/f", "1"), nil)
		for _, path := range []string{"f", "d/g", "d/f/g", "dd", "D/f"} {
			_, err := x.Open(x.Context(), x.id(1), path)
			wantErr(x, path, err, artifacts.ErrNotFound)
			wantErr(x, path, err, fs.ErrNotExist)
		}
		_, err := x.Open(x.Context(), x.id(2), "d/f")
		wantErr(x, "no such version", err, artifacts.ErrNotFound)
		_, err = x.Open(x.Context(), artifacts.ID{Name: x.other("absent"), Number: 1}, ".")
		wantErr(x, "no such name", err, artifacts.ErrNotFound)
	}},
	{"Open of what cannot be is ErrInvalid", func(x *fixture) {
		x.publish(files("d/f", "1"), nil)
		for _, path := range []string{"", "/d/f", "d/f/", "./d", "d/../d/f", "d//f", "a\xff"} {
			_, err := x.Open(x.Context(), x.id(1), path)
			wantErr(x, fmt.Sprintf("%q", path), err, artifacts.ErrInvalid)
		}
		for _, n := range []int64{0, -1} {
			_, err := x.Open(x.Context(), x.id(n), "d/f")
			wantErr(x, fmt.Sprint("version ", n), err, artifacts.ErrInvalid)
		}
	}},
	{"Manifest has every file, by path", func(x *fixture) {
		v := x.publish(files("d/b", "1", "d/a/x", "22", "d/a.z", "333", "e", ""), nil).Version
		manifest, err := artifacts.Manifest(x.Context(), x, v.ID)
		wantErr(x, "Manifest", err, nil)
		var got []string
		for _, f := range manifest {
			got = append(got, fmt.Sprint(f.Path, f.Size))
		}
		equal(x, "files", got, []string{"d/a.z3", "d/a/x2", "d/b1", "e0"}, slices.Equal)
		_, err = artifacts.Manifest(x.Context(), x, x.id(9))
		wantErr(x, "Manifest of what is not there", err, artifacts.ErrNotFound)
	}},
	{"an open file lives as long as its context", func(x *fixture) {
		x.publish(files("d/f", strings.Repeat("x", 100_000)), nil)
		for _, path := range []string{"d/f", "d"} {
			ctx, cancel := context.WithCancel(x.Context())
			f, err := x.Open(ctx, x.id(1), path)
			if err != nil {
				x.Fatal(err)
			}
			if path == "d/f" {
				if _, err := f.Read(make([]byte, 10)); err != nil {
					x.Fatal(err)
				}
			}
			cancel()
			if path == "d/f" {
				_, err = io.ReadAll(f)
				wantErr(x, "Read", err, context.Canceled)
				_, err = f.ReadAt(make([]byte, 1), 50_000)
				wantErr(x, "ReadAt", err, context.Canceled)
			} else {
				_, err = f.ReadDir(-1)
				wantErr(x, "ReadDir", err, context.Canceled)
			}
			_ = f.Close()
		}
	}},
}
