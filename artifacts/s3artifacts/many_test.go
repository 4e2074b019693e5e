package s3artifacts_test

import (
	"fmt"
	"io"
	"io/fs"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/artifacts"
	"github.com/genaistore/genaistore/internal/awsfake"
)

// manyFS is a directory of files that exist only while they are read.
type manyFS int

func (m manyFS) name(i int) string { return fmt.Sprintf("shard-%06d-of-%06d.safetensors", i, int(m)) }

func (m manyFS) Open(path string) (fs.File, error) {
	if path == "." {
		return &manyDir{m, 0}, nil
	}
	var i, n int
	if _, err := fmt.Sscanf(path, "shard-%d-of-%d.safetensors", &i, &n); err != nil {
		return nil, fs.ErrNotExist
	}
	return &manyFile{name: path, data: []byte(fmt.Sprint("content ", i%10))}, nil
}

type manyDir struct {
	manyFS
	at int
}

func (*manyDir) Stat() (fs.FileInfo, error) { return manyInfo{".", 0, fs.ModeDir}, nil }
func (*manyDir) Read([]byte) (int, error)   { return 0, fs.ErrInvalid }
func (*manyDir) Close() error               { return nil }
func (d *manyDir) ReadDir(int) ([]fs.DirEntry, error) {
	out := make([]fs.DirEntry, 0, int(d.manyFS))
	for i := range int(d.manyFS) {
		out = append(out, fs.FileInfoToDirEntry(manyInfo{d.name(i), 9, 0}))
	}
	return out, nil
}

type manyFile struct {
	name string
	data []byte
}

func (f *manyFile) Stat() (fs.FileInfo, error) { return manyInfo{f.name, 9, 0}, nil }
func (*manyFile) Close() error                 { return nil }
func (f *manyFile) Read(p []byte) (int, error) {
	if len(f.data) == 0 {
		return 0, io.EOF
	}
	n := copy(p, f.data)
	f.data = f.data[n:]
	return n, nil
}

type manyInfo struct {
	name string
	size int64
	mode fs.FileMode
}

func (i manyInfo) Name() string      { return i.name }
func (i manyInfo) Size() int64       { return i.size }
func (i manyInfo) Mode() fs.FileMode { return i.mode }
func (manyInfo) ModTime() time.Time  { return time.Time{} }
func (i manyInfo) IsDir() bool       { return i.mode.IsDir() }
func (manyInfo) Sys() any            { return nil }

// watch returns the most memory that was in use while do ran in a process that
// may have so much, beyond what was in use before.
func watch(limit uint64, do func()) uint64 {
	var before, now runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(int64(before.HeapAlloc + limit)))
	var most atomic.Uint64
	done, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), now.HeapAlloc-min(before.HeapAlloc, now.HeapAlloc)))
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	}()
	do()
	close(done)
	<-ended
	return most.Load()
}

func TestAHundredThousandFiles(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	client := awsfake.NewS3("bucket").Client()
	store := open(t, client, nil)
	var p artifacts.Publication
	const limit = 128 << 20
	const fakes = 48 << 20 // the fake keeps the list of files, and a copy while it arrives
	most := watch(limit+fakes, func() { p = publish(t, store, manyFS(artifacts.MaxFiles), nil) })
	require.Equal(t, artifacts.MaxFiles, p.Version.Files)
	require.Equal(t, int64(90), p.Sent)
	t.Logf("published in %d MiB of heap, %d of them the fake's", most>>20, fakes>>20)
	require.Less(t, most, uint64(limit+fakes))
	most = watch(limit, func() {
		fresh := open(t, client, nil)
		v, err := fresh.Resolve(t.Context(), artifacts.Ref{Name: ranker})
		require.NoError(t, err)
		data, err := fs.ReadFile(artifacts.FS(t.Context(), fresh, v.ID), manyFS(artifacts.MaxFiles).name(77_777))
		require.NoError(t, err)
		require.Equal(t, "content 7", string(data))
	})
	t.Logf("resolved and read in %d MiB", most>>20)
	require.Less(t, most, uint64(limit))
}
