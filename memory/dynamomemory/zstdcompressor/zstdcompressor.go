// Package zstdcompressor compresses the records of package dynamomemory with
// Zstandard, which is faster than the DEFLATE of the standard library and makes
// them smaller, at the price of linking a module more.
package zstdcompressor

import (
	"cmp"
	"encoding/binary"
	"fmt"

	"github.com/klauspost/compress/zstd"

	"github.com/genaistore/genaistore/internal/fault"
	"github.com/genaistore/genaistore/memory/dynamomemory"
)

var _ dynamomemory.Compressor = (*Compressor)(nil)

// Options configure a [Compressor]. The zero value is the default.
type Options struct {
	// Level is how hard to try, from 1 to 22, as the command zstd counts; 3 by
	// default. What any level wrote, every Compressor reads.
	Level int
}

const defaultLevel = 3

// WithDefaults returns o with every default set. It accepts a nil receiver.
func (o *Options) WithDefaults() Options {
	var given Options
	if o != nil {
		given = *o
	}
	given.Level = cmp.Or(given.Level, defaultLevel)
	return given
}

// A Compressor compresses with Zstandard. It is safe for concurrent use, starts
// no goroutine, and keeps some megabytes of buffers once it has worked.
type Compressor struct {
	encoder *zstd.Encoder
	decoder *zstd.Decoder
}

// New returns a Compressor. A level that does not exist is an error that matches
// memory.ErrInvalid. Opts may be nil.
func New(opts *Options) (*Compressor, error) {
	level := opts.WithDefaults().Level
	if level < 1 || level > 22 {
		return nil, fmt.Errorf("zstd: %w: level %d: from 1 to 22", fault.Invalid, level)
	}
	encoder, err := zstd.NewWriter(nil, zstd.WithEncoderLevel(zstd.EncoderLevelFromZstd(level)),
		zstd.WithWindowSize(window), zstd.WithEncoderCRC(true), zstd.WithSingleSegment(true), zstd.WithZeroFrames(true))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w: %w", fault.Invalid, err)
	}
	// What is decoded is bounded by the caller, frame by frame, before it begins.
	decoder, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(0))
	if err != nil {
		return nil, fmt.Errorf("zstd: %w: %w", fault.Invalid, err)
	}
	return &Compressor{encoder, decoder}, nil
}

// window is how far back a repetition is found: more than most records have, and
// little enough for the memory of a small Lambda.
const window = 1 << 20

// Name implements dynamomemory.Compressor.
func (*Compressor) Name() string { return "zstd" }

// Compress implements dynamomemory.Compressor.
func (c *Compressor) Compress(dst, src []byte) ([]byte, error) {
	return c.encoder.EncodeAll(src, dst), nil
}

// Decompress implements dynamomemory.Compressor. Whatever is not one frame that
// says its size and ends in its checksum is an error that matches
// memory.ErrCorrupt, and so is a size above limit; nothing is decoded then.
func (c *Compressor) Decompress(dst, src []byte, limit int) ([]byte, error) {
	size, err := sizeOf(src)
	if err != nil {
		return dst, err
	}
	if limit < 0 || size > uint64(limit) {
		return dst, fmt.Errorf("zstd: %w: %d bytes, more than the limit of %d", fault.Corrupt, size, limit)
	}
	out, err := c.decoder.DecodeAll(src, dst)
	if err != nil {
		return dst, fmt.Errorf("zstd: %w: %w", fault.Corrupt, err)
	}
	if got := len(out) - len(dst); uint64(got) != size {
		return dst, fmt.Errorf("zstd: %w: %d bytes in a frame of %d", fault.Corrupt, got, size)
	}
	return out, nil
}

const (
	blockHeader = 3
	checksum    = 4
	repeated    = 1 // the type of a block that is one byte, many times
)

// sizeOf returns what a frame says that it decodes to, and checks that src is
// that frame and nothing else: DecodeAll would go on with a second one, whose
// size nobody bounds. The format is RFC 8878.
func sizeOf(src []byte) (uint64, error) {
	var header zstd.Header
	if err := header.Decode(src); err != nil {
		return 0, fmt.Errorf("zstd: %w: %w", fault.Corrupt, err)
	}
	tail := checksum
	if !header.HasCheckSum && header.FrameContentSize == 0 { // the frame of nothing
		tail = 0
	}
	if header.Skippable || !header.HasFCS {
		return 0, fmt.Errorf("zstd: %w: a frame without its size", fault.Corrupt)
	}
	rest := src[header.HeaderSize:]
	for last := false; !last; {
		if len(rest) < blockHeader {
			return 0, fmt.Errorf("zstd: %w: the frame is cut off", fault.Corrupt)
		}
		bits := uint32(rest[0]) | uint32(binary.LittleEndian.Uint16(rest[1:]))<<8
		last = bits&1 == 1
		length := int(bits >> 3)
		if kind := bits >> 1 & 3; kind == repeated {
			length = 1
		}
		if len(rest)-blockHeader < length {
			return 0, fmt.Errorf("zstd: %w: the frame is cut off", fault.Corrupt)
		}
		rest = rest[blockHeader+length:]
	}
	if len(rest) != tail {
		return 0, fmt.Errorf("zstd: %w: %d bytes where the frame ends in a checksum of %d", fault.Corrupt, len(rest), tail)
	}
	return header.FrameContentSize, nil
}
