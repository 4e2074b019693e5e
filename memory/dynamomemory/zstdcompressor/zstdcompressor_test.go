package zstdcompressor_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/genaistore/genaistore/memory"
	"github.com/genaistore/genaistore/memory/dynamomemory/zstdcompressor"
)

func Example() {
	compressor, err := zstdcompressor.New(nil)
	if err != nil {
		fmt.Println(err)
		return
	}
	text := strings.Repeat("The order arrives on Monday. ", 100)
	small, err := compressor.Compress(nil, []byte(text))
	if err != nil {
		fmt.Println(err)
		return
	}
	back, err := compressor.Decompress(nil, small, 400<<10)
	fmt.Println(len(text), len(small) < 100, string(back) == text, err)
	// Output: 2900 true true <nil>
}

func newCompressor(t testing.TB, level int) *zstdcompressor.Compressor {
	c, err := zstdcompressor.New(&zstdcompressor.Options{Level: level})
	require.NoError(t, err)
	return c
}

func TestEveryLevelIsReadByEveryOther(t *testing.T) {
	text := []byte(strings.Repeat("all work and no play ", 20000)) // above the window
	for _, level := range []int{0, 1, 3, 9, 22} {
		for _, src := range [][]byte{nil, {0}, text[:5], text[:300], text} {
			small, err := newCompressor(t, level).Compress([]byte("before"), src)
			require.NoError(t, err)
			require.True(t, bytes.HasPrefix(small, []byte("before")))
			back, err := newCompressor(t, 1).Decompress([]byte("kept"), small[len("before"):], len(src))
			require.NoError(t, err, "level %d, %d bytes", level, len(src))
			require.Equal(t, "kept"+string(src), string(back))
		}
	}
}

func TestTheLimitHoldsBeforeAnythingIsDecoded(t *testing.T) {
	c := newCompressor(t, 0)
	bomb, err := c.Compress(nil, make([]byte, 64<<20))
	require.NoError(t, err)
	require.Less(t, len(bomb), 64<<10)
	allocated := testing.AllocsPerRun(10, func() {
		out, err := c.Decompress(nil, bomb, 64<<20-1)
		require.ErrorIs(t, err, memory.ErrCorrupt)
		require.Empty(t, out)
	})
	require.Less(t, allocated, 100.0)
	_, err = c.Decompress(nil, bomb, -1)
	require.ErrorIs(t, err, memory.ErrCorrupt)
	_, err = c.Decompress(nil, bomb, 64<<20)
	require.NoError(t, err)
}

func TestOnlyWhatCompressReturnsIsRead(t *testing.T) {
	c := newCompressor(t, 0)
	src := []byte(strings.Repeat("tamper with me ", 50))
	frame, err := c.Compress(nil, src)
	require.NoError(t, err)
	skippable := append(binary.LittleEndian.AppendUint32(nil, 0x184D2A50), 0, 0, 0, 0)
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderCRC(false))
	require.NoError(t, err)
	var stream bytes.Buffer // says no size
	unsized, err := zstd.NewWriter(&stream)
	require.NoError(t, err)
	_, err = unsized.Write(src)
	require.NoError(t, err)
	require.NoError(t, unsized.Flush())
	require.NoError(t, unsized.Close())
	for name, forged := range map[string][]byte{
		"nothing":                   nil,
		"text":                      src,
		"two frames":                append(bytes.Clone(frame), frame...),
		"a skippable frame after":   append(bytes.Clone(frame), skippable...),
		"a skippable frame before":  append(bytes.Clone(skippable), frame...),
		"a byte more":               append(bytes.Clone(frame), 0),
		"a byte less":               frame[:len(frame)-1],
		"no checksum":               encoder.EncodeAll(src, nil),
		"no checksum, four bytes":   append(encoder.EncodeAll(src, nil), frame[:4]...),
		"a stream without its size": stream.Bytes(),
	} {
		out, err := c.Decompress([]byte("kept"), forged, 1<<20)
		require.ErrorIs(t, err, memory.ErrCorrupt, name)
		require.Equal(t, "kept", string(out), name)
	}
	for i := range frame {
		for bit := range 8 {
			forged := bytes.Clone(frame)
			forged[i] ^= 1 << bit
			out, err := c.Decompress(nil, forged, 1<<20)
			if err == nil { // some bits mean nothing: then nothing has changed
				require.Equal(t, src, out, "byte %d bit %d", i, bit)
				continue
			}
			require.ErrorIs(t, err, memory.ErrCorrupt)
			require.Empty(t, out)
		}
	}
}

func TestManyGoroutinesShareACompressor(t *testing.T) {
	c := newCompressor(t, 0)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			src := bytes.Repeat([]byte{byte(i)}, 5000)
			for range 50 {
				small, err := c.Compress(nil, src)
				if err != nil {
					t.Error(err)
				}
				back, err := c.Decompress(nil, small, len(src))
				if err != nil || !bytes.Equal(src, back) {
					t.Error("not what it was", err)
				}
			}
		})
	}
	wg.Wait()
}

func TestLevelsAreThoseOfTheCommand(t *testing.T) {
	for _, level := range []int{-1, 23} {
		_, err := zstdcompressor.New(&zstdcompressor.Options{Level: level})
		require.ErrorIs(t, err, memory.ErrInvalid)
	}
	require.Equal(t, "zstd", newCompressor(t, 0).Name())
}

func FuzzRoundTrip(f *testing.F) {
	f.Add([]byte("text"), 3)
	f.Add([]byte{}, 1)
	f.Add(bytes.Repeat([]byte("ab"), 1000), 22)
	compressors := map[int]*zstdcompressor.Compressor{}
	for _, level := range []int{1, 3, 9} {
		compressors[level] = newCompressor(f, level)
	}
	f.Fuzz(func(t *testing.T, src []byte, level int) {
		c, ok := compressors[level]
		if !ok {
			c = compressors[3]
		}
		small, err := c.Compress(nil, src)
		require.NoError(t, err)
		back, err := c.Decompress(nil, small, len(src))
		require.NoError(t, err)
		require.True(t, bytes.Equal(src, back))
		if len(src) > 0 {
			_, err = c.Decompress(nil, small, len(src)-1)
			require.ErrorIs(t, err, memory.ErrCorrupt)
		}
	})
}

func FuzzDecompress(f *testing.F) {
	c := newCompressor(f, 0)
	for _, src := range []string{"", "a", strings.Repeat("abc", 1000)} {
		small, err := c.Compress(nil, []byte(src))
		require.NoError(f, err)
		f.Add(small)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		const limit = 1 << 16
		out, err := c.Decompress(nil, src, limit)
		if err != nil {
			require.ErrorIs(t, err, memory.ErrCorrupt)
			require.Empty(t, out)
			return
		}
		require.LessOrEqual(t, len(out), limit)
	})
}
