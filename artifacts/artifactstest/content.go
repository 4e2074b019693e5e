package artifactstest

import (
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync/atomic"
	"testing/iotest"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

var content = []promise{
	{"the digest of a version is that of its content", func(x *fixture) {
		one := x.publish(files("a", "1", "b.json", "{}"), nil).Version
		two := x.publish(files("a", "2", "b.json", "{}"), nil).Version
		three := x.publish(files("a", "1", "b.json", "{}"), nil).Version
		manifest, err := artifacts.Manifest(x.Context(), x, one.ID)
		wantErr(x, "Manifest", err, nil)
		want(x, "digest", one.Digest, artifacts.ContentDigest(manifest))
		want(x, "digest of the same files", three.Digest, one.Digest)
		if one.Digest == two.Digest {
			x.Errorf("different files have one digest %s", one.Digest)
		}
		media := x.publish(files("a", "1", "b.json", "{}"), &artifacts.PublishOptions{MediaTypes: map[string]string{"a": "text/plain"}}).Version
		if media.Digest == one.Digest {
			x.Error("a media type is no part of the digest")
		}
	}},
	{"the digest of a file is that of its bytes", func(x *fixture) {
		big := strings.Repeat("0123456789abcdef", 70<<10/16)
		x.publish(files("empty", "", "small", "x", "big", big), nil)
		for path, data := range map[string]string{"empty": "", "small": "x", "big": big} {
			d := artifacts.NewDigest()
			_, _ = io.WriteString(d, data)
			f, err := x.Open(x.Context(), x.id(1), path)
			if err != nil {
				x.Fatal(err)
			}
			want(x, "digest of "+path, f.Info().Digest, d.String())
			want(x, "size of "+path, f.Info().Size, int64(len(data)))
			want(x, "path of "+path, f.Info().Path, path)
			wantErr(x, "Close", f.Close(), nil)
		}
		want(x, "big", x.read(1, "big"), big)
	}},
	{"media types are given or guessed", func(x *fixture) {
		x.publish(files("a.json", "{}", "b.parquet", "", "c", "", "d.TXT", "", "e.json", ""),
			&artifacts.PublishOptions{MediaTypes: map[string]string{"e.json": "application/x-mine", "c": ""}})
		manifest, err := artifacts.Manifest(x.Context(), x, x.id(1))
		wantErr(x, "Manifest", err, nil)
		var got []string
		for _, f := range manifest {
			got = append(got, f.MediaType)
		}
		equal(x, "media types", got, []string{
			"application/json", "application/vnd.apache.parquet", "application/octet-stream", "text/plain; charset=utf-8", "application/x-mine",
		}, slices.Equal)
	}},
	{"content that a version has is not sent again", func(x *fixture) {
		p := x.publish(files("a", "1234567890", "b", "abcde"), nil)
		want(x, "sent at first", fmt.Sprint(p.Sent, p.Reused), "15 0")
		p = x.publish(files("a", "1234567890", "b", "xyz", "c", "abcde"), nil)
		want(x, "sent after", fmt.Sprint(p.Sent, p.Reused), "3 15")
		want(x, "c", x.read(2, "c"), "abcde")
	}},
	{"content that is in two files is sent once", func(x *fixture) {
		p := x.publish(files("a", "12345", "b", "12345", "c", "678"), nil)
		want(x, "sent", fmt.Sprint(p.Sent, p.Reused), "8 5")
		want(x, "b", x.read(1, "b"), "12345")
	}},
	{"Progress comes one at a time and ends with everything done", func(x *fixture) {
		x.publish(files("a", "12345"), nil)
		var (
			last    artifacts.Progress
			calls   int
			running atomic.Int32
		)
		big := strings.Repeat("x", 100<<10)
		p := x.publish(files("a", "12345", "b", big, "c", big+"y", "d", "", "e", "", "f", "", "g", "", "h", ""), &artifacts.PublishOptions{Progress: func(now artifacts.Progress) {
			defer running.Add(-1)
			if running.Add(1) > 1 {
				x.Error("two calls at once")
				return
			}
			if calls++; now.FilesDone < last.FilesDone || now.BytesHashed < last.BytesHashed || now.BytesSent < last.BytesSent || now.BytesHashed > now.Bytes {
				x.Errorf("progress %+v after %+v", now, last)
			}
			last = now
			<-time.After(time.Millisecond) // for another call to come, if one would
		}})
		total := int64(5 + 100<<10 + 100<<10 + 1)
		if want := (artifacts.Progress{Files: 8, FilesDone: 8, Bytes: total, BytesHashed: total, BytesSent: p.Sent, BytesReused: p.Reused}); last != want || calls == 0 {
			x.Errorf("the last of %d calls is %+v, want %+v", calls, last, want)
		}
		want(x, "sent and reused", fmt.Sprint(p.Sent, p.Reused), fmt.Sprint(total-5, 5))
	}},
	{"a file that changes while it is read is ErrConflict", func(x *fixture) {
		for what, odd := range map[string]oddity{
			"longer than it said":  {size: -1},
			"shorter than it said": {size: 1},
			"grown":                {grow: 1},
			"touched":              {touch: time.Nanosecond},
		} {
			_, err := x.Publish(x.Context(), x.name, oddFS{files("a", "1", "dir/b", "123"), map[string]oddity{"dir/b": odd}}, nil)
			wantErr(x, what, err, artifacts.ErrConflict)
			if err != nil && !strings.Contains(err.Error(), "dir/b") {
				x.Errorf("the error of a file %s does not name it: %v", what, err)
			}
		}
		want(x, "records", len(x.history(nil)), 0)
	}},
	{"a stream of unknown length is read to its end, once", func(x *fixture) {
		data := strings.Repeat("line\n", 30_000)
		streams := artifacts.Streams(map[string]io.Reader{
			"d/rows.jsonl": iotest.HalfReader(strings.NewReader(data)), "empty": strings.NewReader(""), "one": iotest.DataErrReader(strings.NewReader("1")),
		})
		p := x.publish(streams, nil)
		want(x, "bytes", p.Version.Bytes, int64(len(data)+1))
		want(x, "rows", x.read(1, "d/rows.jsonl"), data)
		want(x, "one", x.read(1, "one"), "1")
		_, err := x.Publish(x.Context(), x.name, streams, nil)
		wantErr(x, "the same streams again", err, artifacts.ErrInvalid)
	}},
	{"no files are ErrInvalid", func(x *fixture) {
		for what, f := range map[string]fs.FS{"nil": nil, "empty": files()} {
			_, err := x.Publish(x.Context(), x.name, f, nil)
			wantErr(x, what, err, artifacts.ErrInvalid)
		}
		want(x, "records", len(x.history(nil)), 0)
	}},
	{"more than MaxFiles files are ErrInvalid", func(x *fixture) {
		many := make(map[string][]byte, artifacts.MaxFiles+1)
		for i := range artifacts.MaxFiles + 1 {
			many[fmt.Sprintf("%d/%d", i%100, i)] = nil
		}
		_, err := x.Publish(x.Context(), x.name, artifacts.Files(many), nil)
		wantErr(x, "Publish", err, artifacts.ErrInvalid)
		want(x, "records", len(x.history(nil)), 0)
	}},
	{"files that are not regular are ErrInvalid by name", func(x *fixture) {
		for what, mode := range map[string]fs.FileMode{"link": fs.ModeSymlink, "pipe": fs.ModeNamedPipe, "device": fs.ModeDevice} {
			odd := oddFS{files("a", "1", "d/odd", "2"), map[string]oddity{"d/odd": {mode: mode}}}
			_, err := x.Publish(x.Context(), x.name, odd, nil)
			wantErr(x, what, err, artifacts.ErrInvalid)
			if err != nil && !strings.Contains(err.Error(), "d/odd") {
				x.Errorf("the error of a %s does not name it: %v", what, err)
			}
		}
	}},
	{"paths are those of io/fs and of at most MaxFilePath bytes", func(x *fixture) {
		most := strings.Repeat("seg/", artifacts.MaxFilePath/4-1) + "last"
		for _, path := range []string{"/a", "a/", "../a", "a//b", ".", "", "a\xff", most + "x"} {
			_, err := x.Publish(x.Context(), x.name, files(path, "1"), nil)
			wantErr(x, fmt.Sprintf("path %.20q", path), err, artifacts.ErrInvalid)
		}
		_, err := x.Publish(x.Context(), x.name, files("a", "1", "a/b", "2"), nil)
		wantErr(x, "a file that is a directory", err, artifacts.ErrInvalid)
		odd := []string{most, "a b", "ä/ö", "%2F", "a\\b", "log/0000000000000001.json", "*", "a\nb", "...", "con"}
		var pairs []string
		for i, path := range odd {
			pairs = append(pairs, path, fmt.Sprint(i))
		}
		x.publish(files(pairs...), nil)
		for i, path := range odd {
			want(x, path, x.read(1, path), fmt.Sprint(i))
		}
	}},
	{"paths that differ by case or by normal form alone are ErrInvalid", func(x *fixture) {
		for _, two := range [][2]string{{"README", "readme"}, {"caf\u00e9", "cafe\u0301"}, {"D", "d/x"}, {"x/\u212b", "X/a\u030a"}} {
			_, err := x.Publish(x.Context(), x.name, files(two[0], "1", two[1], "2"), nil)
			wantErr(x, fmt.Sprintf("%q", two), err, artifacts.ErrInvalid)
		}
		want(x, "records", len(x.history(nil)), 0)
		x.publish(files("D/x", "1", "d/y", "2", "cafe", "3", "caf\u00e9", "4"), nil)
	}},
	{"names have their limits on both sides", func(x *fixture) {
		seg := strings.Repeat("s", artifacts.MaxSegment)
		room := artifacts.MaxName - len(x.name.Tenant) - 1 // the tenant and its slash
		var most []string
		for room > 0 {
			n := min(room, artifacts.MaxSegment)
			most = append(most, seg[:n])
			room -= n + 1
		}
		full := artifacts.Name{Tenant: x.name.Tenant, Path: strings.Join(most, "/")}
		if _, err := x.Publish(x.Context(), full, files("a", "1"), nil); err != nil {
			x.Errorf("a name of %d bytes: %v", len(full.Path), err)
		}
		if f, err := x.Open(x.Context(), artifacts.ID{Name: full, Number: 1}, "a"); err != nil {
			x.Errorf("a name of %d bytes: %v", len(full.Path), err)
		} else {
			_ = f.Close()
		}
		for _, bad := range []artifacts.Name{
			{},
			{Tenant: "a/b", Path: "p"},
			{Tenant: ".", Path: "p"},
			x.other(""), x.other("/a"), x.other("a/"), x.other("a//b"),
			x.other("a/../b"), x.other("."), x.other("a\x00"), x.other("a\xff"), x.other(seg + "x"),
			{Tenant: full.Tenant, Path: full.Path + "x"},
			x.other(strings.Repeat("%", artifacts.MaxSegment) + "/" + strings.Repeat("%", 60)),
		} {
			_, err := x.Publish(x.Context(), bad, files("a", "1"), nil)
			wantErr(x, fmt.Sprintf("Publish(%.30q)", bad), err, artifacts.ErrInvalid)
			_, err = x.Resolve(x.Context(), artifacts.Ref{Name: bad})
			wantErr(x, fmt.Sprintf("Resolve(%.30q)", bad), err, artifacts.ErrInvalid)
			_, err = x.Open(x.Context(), artifacts.ID{Name: bad, Number: 1}, "a")
			wantErr(x, fmt.Sprintf("Open(%.30q)", bad), err, artifacts.ErrInvalid)
			_, err = x.Apply(x.Context(), bad, artifacts.Delete{})
			wantErr(x, fmt.Sprintf("Apply(%.30q)", bad), err, artifacts.ErrInvalid)
			for _, err = range x.History(x.Context(), bad, nil) {
			}
			wantErr(x, fmt.Sprintf("History(%.30q)", bad), err, artifacts.ErrInvalid)
		}
	}},
	{"names that look alike are different", func(x *fixture) {
		names := []artifacts.Name{
			x.other("a"), x.other("A"), x.other("a/b"), x.other("a%2Fb"), x.other("a b"), x.other("a+b"), x.other("a%20b"), x.other("a/log"),
			x.other("ä"), x.other("a\u0308"), x.other("a@1"), x.other("..."),
			{Tenant: x.name.Tenant + ".x", Path: "a"},
			{Path: x.name.Tenant + "/a"},
		}
		for i, name := range names {
			if p, err := x.Publish(x.Context(), name, files("i", fmt.Sprint(i)), nil); err != nil || p.Version.ID.Number != 1 {
				x.Fatalf("Publish(%q) = %v, %v, want version 1", name, p.Version.ID, err)
			}
		}
		for i, name := range names {
			data, err := fs.ReadFile(artifacts.FS(x.Context(), x, artifacts.ID{Name: name, Number: 1}), "i")
			if err != nil || string(data) != fmt.Sprint(i) {
				x.Errorf("%q has the content of %s, want %d: %v", name, data, i, err)
			}
		}
		want(x, "versions of the tenant", len(x.list(artifacts.Query{})), len(names)-2)
	}},
}
