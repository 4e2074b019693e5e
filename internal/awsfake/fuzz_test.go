package awsfake

import (
	"bytes"
	"fmt"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

func FuzzUnchunk(f *testing.F) {
	f.Add([]byte("5\r\nhello\r\n0\r\nx-amz-checksum-crc32:YadGSw==\r\n\r\n"), uint8(3))
	f.Add([]byte("5;chunk-signature=1\r\nhello\r\n0\r\n\r\n"), uint8(0))
	f.Add([]byte("7fffffff\r\n"), uint8(1))
	f.Fuzz(func(t *testing.T, data []byte, size uint8) {
		// Whatever arrives, it is decoded or refused.
		if decoded, _, err := unchunk(data); err == nil {
			require.LessOrEqual(t, len(decoded), len(data))
		}

		var coded bytes.Buffer
		for part := range slices.Chunk(data, int(size)+1) {
			fmt.Fprintf(&coded, "%x\r\n%s\r\n", len(part), part)
		}
		coded.WriteString("0\r\nname: value\r\n\r\n")
		decoded, trailer, err := unchunk(coded.Bytes())
		require.NoError(t, err)
		require.True(t, bytes.Equal(data, decoded))
		require.Equal(t, "value", trailer.Get("Name"))
	})
}

func FuzzExpression(f *testing.F) {
	f.Add("pk = :v AND begins_with(sk, :v)")
	f.Add("NOT (attribute_exists(#n) OR a BETWEEN :v AND :v) AND a <> :v")
	f.Add("((")
	f.Fuzz(func(t *testing.T, text string) {
		named := newExpressions(map[string]string{"#n": "name"}, map[string]attribute{":v": {S: new("x")}})
		c, err := named.parse(text)
		if err != nil {
			var refused *failure
			require.ErrorAs(t, err, &refused)
			return
		}
		it := item{"pk": {S: new("x")}, "a": {N: new("1")}}
		require.NotEqual(t, c.holds(it), not{c}.holds(it))
		_, _ = keys(c, "pk", "sk")
	})
}

func FuzzByteRange(f *testing.F) {
	f.Add("bytes=0-", 10)
	f.Add("bytes=-5", 3)
	f.Add("bytes=4-2", 10)
	f.Fuzz(func(t *testing.T, asked string, size int) {
		size &= 1<<20 - 1
		if first, last, ok := byteRange(asked, size); ok {
			require.GreaterOrEqual(t, first, 0)
			require.LessOrEqual(t, first, last)
			require.Less(t, last, size)
		}
	})
}
