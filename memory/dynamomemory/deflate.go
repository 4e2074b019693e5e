package dynamomemory

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"sync"

	"github.com/genaistore/genaistore/memory"
)

const deflateName = "deflate"

// deflate is the default Compressor. Its writers are large, so it keeps them.
type deflate struct{ writers, readers *sync.Pool }

func newDeflate() deflate { return deflate{new(sync.Pool), new(sync.Pool)} }

func (deflate) Name() string { return deflateName }

func (d deflate) Compress(dst, src []byte) ([]byte, error) {
	out := bytes.NewBuffer(dst)
	w, ok := d.writers.Get().(*flate.Writer)
	if !ok {
		var err error
		if w, err = flate.NewWriter(out, flate.BestSpeed); err != nil {
			return nil, err
		}
	}
	defer d.writers.Put(w)
	w.Reset(out)
	if _, err := w.Write(src); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	return out.Bytes(), nil
}

func (d deflate) Decompress(dst, src []byte, limit int) ([]byte, error) {
	r, ok := d.readers.Get().(io.ReadCloser)
	if !ok {
		r = flate.NewReader(nil)
	}
	defer d.readers.Put(r)
	if err := r.(flate.Resetter).Reset(bytes.NewReader(src), nil); err != nil { //nolint:forcetypeassert // every flate reader is one
		return nil, err
	}
	out := bytes.NewBuffer(dst)
	n, err := io.Copy(out, io.LimitReader(r, int64(limit)+1))
	if err != nil {
		return nil, fmt.Errorf("%w: %w", memory.ErrCorrupt, err)
	}
	if n > int64(limit) {
		return nil, fmt.Errorf("%w: more than %d bytes when decompressed", memory.ErrCorrupt, limit)
	}
	return out.Bytes(), nil
}
