package artifactstest

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/genaistore/genaistore/artifacts"
)

var publishing = []promise{
	{"a published version can be read back", func(x *fixture) {
		p := x.publish(files("a", "1", "d/b", "22", "d/e/c", ""), nil)
		want(x, "id", p.Version.ID, x.id(1))
		want(x, "a", x.read(1, "a"), "1")
		want(x, "d/b", x.read(1, "d/b"), "22")
		want(x, "d/e/c", x.read(1, "d/e/c"), "")
	}},
	{"versions count from 1 without gaps", func(x *fixture) {
		x.versions(3)
		equal(x, "list", x.ids(artifacts.Query{}), []string{"llm/ranker@3", "llm/ranker@2", "llm/ranker@1"}, slices.Equal)
	}},
	{"64 publishers at once get 1 to 64", func(x *fixture) {
		var (
			wg   sync.WaitGroup
			mu   sync.Mutex
			seen = map[int64]string{}
		)
		for i := range 64 {
			wg.Go(func() {
				mine := fmt.Sprint("content of ", i)
				p, err := x.Publish(x.Context(), x.name, files("f", mine), nil)
				if err != nil {
					x.Error(err)
					return
				}
				mu.Lock()
				defer mu.Unlock()
				seen[p.Version.ID.Number] = mine
			})
		}
		wg.Wait()
		for n := range int64(64) {
			if mine, got := seen[n+1]; !got || x.read(n+1, "f") != mine {
				x.Fatalf("nobody got version %d, or it has the content of another: %v", n+1, seen)
			}
		}
		want(x, "records", len(x.history(nil)), 64)
	}},
	{"a version says what it is", func(x *fixture) {
		before := time.Now().Add(-time.Minute)
		opts := &artifacts.PublishOptions{
			Kind: artifacts.Checkpoint, Owner: "ada",
			Lineage: artifacts.Lineage{
				Parents: []artifacts.ID{{Name: x.other("base"), Number: 41}}, Commit: "f00", Dirty: true, Run: "run-7", Step: 120,
				Inputs: []artifacts.Input{{URI: "s3://lake/raw/part-0", VersionID: "v3", Digest: "etag"}},
			},
			Metrics: map[string]artifacts.Metric{"eval/loss": {Value: 1.913, N: 20000, Better: artifacts.Lower}},
			Tags:    map[string]string{"team": "search", "none": ""},
		}
		p := x.publish(files("a", "123", "b", "4567"), opts)
		for _, v := range []artifacts.Version{p.Version, x.version(1), x.list(artifacts.Query{})[0]} {
			want(x, "kind", v.Kind, artifacts.Checkpoint)
			want(x, "owner", v.Owner, "ada")
			want(x, "files", v.Files, 2)
			want(x, "bytes", v.Bytes, 7)
			want(x, "ready", v.Ready, true)
			want(x, "quarantine", v.Quarantined, "")
			equal(x, "parents", v.Lineage.Parents, opts.Lineage.Parents, slices.Equal)
			equal(x, "inputs", v.Lineage.Inputs, opts.Lineage.Inputs, slices.Equal)
			want(x, "commit and run", fmt.Sprint(v.Lineage.Commit, v.Lineage.Dirty, v.Lineage.Run, v.Lineage.Step), "f00truerun-7120")
			equal(x, "metrics", v.Metrics, opts.Metrics, maps.Equal)
			equal(x, "tags", v.Tags, map[string]string{"team": "search"}, maps.Equal)
			if v.Created.Before(before) || v.Created.After(time.Now().Add(time.Minute)) {
				x.Errorf("created %v, and it is %v", v.Created, time.Now())
			}
			if !v.Created.Equal(p.Record.Time) || v.By != p.Record.By {
				x.Errorf("created at %v by %q, and its record is of %v by %q", v.Created, v.By, p.Record.Time, p.Record.By)
			}
		}
	}},
	{"nil options mean a model of nobody", func(x *fixture) {
		v := x.publish(files("a", "1"), nil).Version
		want(x, "kind", v.Kind, artifacts.Model)
		want(x, "owner", v.Owner, "")
		want(x, "tags", len(v.Tags)+len(v.Metrics)+len(v.Aliases)+len(v.Pins), 0)
	}},
	{"a Publish whose files fail leaves nothing behind, and its error is theirs", func(x *fixture) {
		boom := errors.New("boom")
		broken := oddFS{files("a", "1", "b", "2", "c", "3"), map[string]oddity{"b": {fail: boom}}}
		_, err := x.Publish(x.Context(), x.name, broken, nil)
		wantErr(x, "Publish", err, boom)
		x.absent(artifacts.Ref{})
		want(x, "records", len(x.history(nil)), 0)
		want(x, "the next version", x.publish(files("a", "1"), nil).Version.ID.Number, 1)
	}},
	{"an ID publishes once and reads nothing after that", func(x *fixture) {
		opts := &artifacts.PublishOptions{ID: "run/7"}
		first := x.publish(files("a", "first"), opts)
		want(x, "Again", first.Again, false)
		x.versions2()
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		poison := oddFS{files("a", "second"), map[string]oddity{"a": {fail: errors.New("was read")}}}
		again := x.publish(poison, opts)
		want(x, "Again", again.Again, true)
		want(x, "version", again.Version.ID, first.Version.ID)
		want(x, "record", again.Record.Digest, first.Record.Digest)
		want(x, "ID of the record", again.Record.ID, "run/7")
		equal(x, "aliases, as they are now", again.Version.Aliases, []string{"live"}, slices.Equal)
		want(x, "bytes", again.Sent+again.Reused, 0)
		want(x, "a", x.read(1, "a"), "first")
		want(x, "versions", len(x.list(artifacts.Query{})), 2)
	}},
	{"an ID raced by 16 publishes once", func(x *fixture) {
		var (
			wg    sync.WaitGroup
			mu    sync.Mutex
			first int
			start = barrier(16)
		)
		for i := range 16 {
			wg.Go(func() {
				p, err := x.Publish(x.Context(), x.name, oddFS{files("f", fmt.Sprint(i)), map[string]oddity{"f": {reading: start}}}, &artifacts.PublishOptions{ID: "the one"})
				if err != nil || p.Version.ID.Number != 1 {
					x.Errorf("Publish = %v, %v, want version 1", p.Version.ID, err)
				}
				mu.Lock()
				defer mu.Unlock()
				if !p.Again {
					first++
				}
			})
		}
		wg.Wait()
		want(x, "calls that were the first", first, 1)
		want(x, "records", len(x.history(nil)), 1)
	}},
	{"an ID is remembered when its version is deleted", func(x *fixture) {
		opts := &artifacts.PublishOptions{ID: "once"}
		x.publish(files("a", "1"), opts)
		x.apply(artifacts.Delete{Version: 1})
		p := x.publish(files("a", "2"), opts)
		if !p.Again || p.Version.ID.Number != 1 || p.Version.Files != 1 {
			x.Errorf("Publish = %+v, want version 1 again", p)
		}
		x.absent(artifacts.Ref{Number: 1})
		x.absent(artifacts.Ref{})
	}},
	{"an ID belongs to one name", func(x *fixture) {
		opts := &artifacts.PublishOptions{ID: "same"}
		x.publish(files("a", "1"), opts)
		p, err := x.Publish(x.Context(), x.other("llm/other"), files("a", "2"), opts)
		if err != nil || p.Again {
			x.Errorf("Publish = %+v, %v, want a version of its own", p, err)
		}
	}},
	{"without an ID each Publish is its own", func(x *fixture) {
		one, two := x.publish(files("a", "1"), nil), x.publish(files("a", "1"), nil)
		if one.Version.ID == two.Version.ID || two.Again || one.Record.ID == two.Record.ID || one.Record.ID == "" {
			x.Errorf("published %+v and %+v, want two", one, two)
		}
	}},
	{"IfNext is the number or ErrConflict", func(x *fixture) {
		x.publish(files("a", "1"), &artifacts.PublishOptions{IfNext: 1, ID: "one"})
		before := x.state()
		for _, next := range []int64{1, 3, 99} {
			_, err := x.Publish(x.Context(), x.name, files("a", "2"), &artifacts.PublishOptions{IfNext: next})
			wantErr(x, fmt.Sprint("IfNext ", next), err, artifacts.ErrConflict)
		}
		x.same(before)
		want(x, "version", x.publish(files("a", "2"), &artifacts.PublishOptions{IfNext: 2}).Version.ID.Number, 2)
		want(x, "repeated", x.publish(files("a", "1"), &artifacts.PublishOptions{IfNext: 1, ID: "one"}).Version.ID.Number, 1)
	}},
	{"one of 16 that expect the same next number wins", func(x *fixture) {
		x.versions(1)
		start := barrier(16)
		won := x.race(16, func(i int) error {
			_, err := x.Publish(x.Context(), x.name, oddFS{files("f", fmt.Sprint(i)), map[string]oddity{"f": {reading: start}}}, &artifacts.PublishOptions{IfNext: 2})
			return err
		})
		want(x, "winners", won, 1)
		want(x, "versions", len(x.list(artifacts.Query{})), 2)
	}},
	{"With is in the same record, and 0 in it is the version published", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		p := x.publish(files("a", "2"), &artifacts.PublishOptions{With: []artifacts.Change{
			artifacts.Expect{Alias: "live", Version: 1},
			artifacts.SetAlias{Alias: "live", Reason: "nightly"},
			artifacts.Pin{By: "eval"},
			artifacts.Note{Tags: map[string]string{"k": "v"}},
			artifacts.SetAlias{Alias: "old", Version: 1},
		}})
		x.points("live", 2)
		x.points("old", 1)
		equal(x, "pins", p.Version.Pins, []string{"eval"}, slices.Equal)
		want(x, "tag", p.Version.Tags["k"], "v")
		h := x.history(&artifacts.HistoryOptions{After: 2})
		if len(h) != 1 || h[0].Digest != p.Record.Digest || h[0].Publish != 2 || len(h[0].Changes) != 5 {
			x.Fatalf("history after 2 is %+v, want one record with 5 changes that publishes 2", h)
		}
		want(x, "version in the record", h[0].Changes[1], artifacts.Change(artifacts.SetAlias{Alias: "live", Version: 2, Reason: "nightly"}))
		equal(x, "moves", h[0].Moved, []artifacts.Move{{Alias: "live", From: 1, To: 2}, {Alias: "old", From: 0, To: 1}}, slices.Equal)
	}},
	{"where With fails nothing is published", func(x *fixture) {
		x.versions(1)
		x.apply(artifacts.SetAlias{Alias: "live", Version: 1})
		before := x.state()
		for wanted, c := range map[error]artifacts.Change{
			artifacts.ErrNotFound: artifacts.SetAlias{Alias: "live", Version: 99},
			artifacts.ErrConflict: artifacts.Expect{Alias: "live", Version: 0},
			artifacts.ErrInvalid:  artifacts.Delete{},
		} {
			_, err := x.Publish(x.Context(), x.name, files("a", "2"), &artifacts.PublishOptions{With: []artifacts.Change{artifacts.SetAlias{Alias: "next"}, c}})
			wantErr(x, fmt.Sprintf("With %T", c), err, wanted)
		}
		x.same(before)
		x.points("next", 0)
		x.points("live", 1)
	}},
	{"options that break a rule are ErrInvalid and publish nothing", func(x *fixture) {
		long := strings.Repeat("x", artifacts.MaxText+1)
		tags, metrics := map[string]string{}, map[string]artifacts.Metric{}
		for i := range artifacts.MaxTags + 1 {
			tags[fmt.Sprint(i)], metrics[fmt.Sprint(i)] = "v", artifacts.Metric{}
		}
		for what, opts := range map[string]artifacts.PublishOptions{
			"a long ID":             {ID: long},
			"a control character":   {ID: "a\nb"},
			"a long owner":          {Owner: long},
			"IfNext below 0":        {IfNext: -1},
			"ranks without ID":      {Ranks: 2},
			"ranks below 0":         {Ranks: -1, ID: "i"},
			"too many ranks":        {Ranks: artifacts.MaxRanks + 1, ID: "i"},
			"a rank too high":       {Ranks: 2, Rank: 2, ID: "i"},
			"a rank below 0":        {Ranks: 2, Rank: -1, ID: "i"},
			"a kind with a slash":   {Kind: "a/b"},
			"too many tags":         {Tags: tags},
			"a tag without key":     {Tags: map[string]string{"": "v"}},
			"a long tag":            {Tags: map[string]string{"k": long}},
			"too many metrics":      {Metrics: metrics},
			"a metric without name": {Metrics: map[string]artifacts.Metric{"": {}}},
			"a parent without name": {Lineage: artifacts.Lineage{Parents: []artifacts.ID{{Number: 1}}}},
			"an input without URI":  {Lineage: artifacts.Lineage{Inputs: []artifacts.Input{{}}}},
			"a long media type":     {MediaTypes: map[string]string{"a": long}},
			"a media type nowhere":  {MediaTypes: map[string]string{"../a": "text/plain"}},
			"a bad change":          {With: []artifacts.Change{artifacts.SetAlias{Alias: "latest"}}},
			"a nil change":          {With: []artifacts.Change{nil}},
		} {
			_, err := x.Publish(x.Context(), x.name, files("a", "1"), &opts)
			wantErr(x, what, err, artifacts.ErrInvalid)
		}
		want(x, "records", len(x.history(nil)), 0)
		for i := range artifacts.MaxTags {
			tags[fmt.Sprint(i)] = strings.Repeat("v", 20)
		}
		delete(tags, fmt.Sprint(artifacts.MaxTags))
		delete(metrics, fmt.Sprint(artifacts.MaxTags))
		v := x.publish(files("a", "1"), &artifacts.PublishOptions{ID: long[1:], Owner: long[1:], Tags: tags, Metrics: metrics}).Version
		want(x, "owner of the most bytes", x.version(1).Owner, long[1:])
		want(x, "the most tags and metrics", len(v.Tags)+len(v.Metrics), 2*artifacts.MaxTags)
	}},
}

// versions2 publishes one more version, for cases that have one already.
func (x *fixture) versions2() {
	x.Helper()
	x.publish(files("w", "another"), nil)
}

// barrier returns a function for the reads of n publications: all have begun
// before the first goes on, or a second is over.
func barrier(n int) func() {
	var (
		mu  sync.Mutex
		all = make(chan struct{})
	)
	return func() {
		mu.Lock()
		if n--; n == 0 {
			close(all)
		}
		mu.Unlock()
		select {
		case <-all:
		case <-time.After(time.Second):
		}
	}
}

// race runs do n times at once and counts those that win. The others must fail
// with ErrConflict.
func (x *fixture) race(n int, do func(i int) error) int {
	x.Helper()
	var (
		wg  sync.WaitGroup
		mu  sync.Mutex
		won int
	)
	for i := range n {
		wg.Go(func() {
			err := do(i)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				won++
			} else if !errors.Is(err, artifacts.ErrConflict) {
				x.Errorf("a loser got %v, want ErrConflict", err)
			}
		})
	}
	wg.Wait()
	return won
}

// An oddFS is a file system with odd files.
type oddFS struct {
	fs.FS
	odd map[string]oddity
}

// An oddity is what is odd about a file.
type oddity struct {
	fail    error         // of every read
	mode    fs.FileMode   // in the second half: what Mode adds
	size    int64         // added to what Stat says
	grow    int64         // added to what Stat says once it was read
	touch   time.Duration // added to the time once it was read
	reading func()        // called by each read
}

func (o oddFS) Open(path string) (fs.File, error) {
	f, err := o.FS.Open(path)
	if err != nil {
		return nil, err
	}
	if odd, is := o.odd[path]; is {
		return &oddFile{File: f, oddity: odd}, nil
	}
	if dir, is := f.(fs.ReadDirFile); is {
		return oddDir{dir, o, path}, nil
	}
	return f, nil
}

type oddFile struct {
	fs.File
	oddity
	read bool
}

func (f *oddFile) Read(p []byte) (int, error) {
	if f.fail != nil {
		return 0, f.fail
	}
	if f.reading != nil {
		f.reading()
	}
	f.read = true
	return f.File.Read(p)
}

func (f *oddFile) Stat() (fs.FileInfo, error) {
	info, err := f.File.Stat()
	return oddInfo{info, f.oddity, f.read}, err
}

type oddInfo struct {
	fs.FileInfo
	oddity
	read bool
}

func (i oddInfo) Mode() fs.FileMode { return i.FileInfo.Mode() | i.mode }

func (i oddInfo) Size() int64 {
	if i.read {
		return i.FileInfo.Size() + i.size + i.grow
	}
	return i.FileInfo.Size() + i.size
}

func (i oddInfo) ModTime() time.Time {
	if i.read {
		return i.FileInfo.ModTime().Add(i.touch)
	}
	return i.FileInfo.ModTime()
}

type oddDir struct {
	fs.ReadDirFile
	fs   oddFS
	path string
}

func (d oddDir) ReadDir(n int) ([]fs.DirEntry, error) {
	entries, err := d.ReadDirFile.ReadDir(n)
	for i, e := range entries {
		path := e.Name()
		if d.path != "." {
			path = d.path + "/" + path
		}
		if odd, is := d.fs.odd[path]; is {
			info, err := e.Info()
			if err != nil {
				return nil, err
			}
			entries[i] = fs.FileInfoToDirEntry(oddInfo{info, odd, false})
		}
	}
	return entries, err
}
