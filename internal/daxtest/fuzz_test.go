package daxtest

import (
	"bytes"
	"math/big"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"
)

// What a stranger sends is refused or understood, and never costs more memory than
// it has bytes.
func FuzzRequest(f *testing.F) {
	w := &writer{}
	w.int(methodGetItem)
	w.bytes([]byte("table"))
	w.bytes([]byte("key"))
	w.buf = append(w.buf, majorMap<<5|31, paramConsistentRead, simpleTrue, breakCode)
	f.Add(w.buf)
	f.Add([]byte("\x9b\xff\xff\xff\xff\xff\xff\xff\xff"))
	f.Add(bytes.Repeat([]byte{0x81}, 10_000))
	f.Fuzz(func(_ *testing.T, b []byte) {
		r := newBytesReader(b)
		method, err := r.int()
		if err != nil {
			return
		}
		q := &request{method: method}
		if q.read(r) != nil {
			return
		}
		for _, encoded := range q.params.strings {
			var e expressions
			_, _ = e.condition(encoded)
			_, _ = e.update(encoded)
			_, _ = projection(encoded)
		}
	})
}

// A value that can be read can be written, and reads as the same again.
func FuzzValue(f *testing.F) {
	seeds := []types.AttributeValue{
		&types.AttributeValueMemberS{Value: "héllo"},
		&types.AttributeValueMemberN{Value: "-12345678901234567890.5"},
		&types.AttributeValueMemberNS{Value: []string{"1", "-2", "1E100"}},
		&types.AttributeValueMemberL{Value: []types.AttributeValue{&types.AttributeValueMemberBOOL{Value: true}, &types.AttributeValueMemberNULL{Value: true}}},
		&types.AttributeValueMemberM{Value: item{"a": &types.AttributeValueMemberBS{Value: [][]byte{{1}, {}}}}},
	}
	for _, v := range seeds {
		w := &writer{}
		require.NoError(f, w.value(v))
		f.Add(w.buf)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := newBytesReader(b).value()
		if err != nil {
			return
		}
		w := &writer{}
		if w.value(v) != nil {
			return // a number of more digits than DynamoDB has
		}
		again, err := newBytesReader(w.buf).value()
		require.NoError(t, err)
		require.Equal(t, v, again)
	})
}

// Keys come back as they went, and sort keys that are numbers sort as bytes.
func FuzzKey(f *testing.F) {
	for _, n := range []string{"0", "1", "-1", "10", "999", "1000", "-1000", "0.001", "1e62", "-1e62", "1e-70", "123456789012345678901234567890123456.78"} {
		f.Add("pk", n, "17")
	}
	f.Fuzz(func(t *testing.T, pk, a, b string) {
		s := schema{{"pk", types.ScalarAttributeTypeS}, {"sk", types.ScalarAttributeTypeN}}
		encode := func(n string) ([]byte, *big.Rat) {
			d, err := parseDecimal(n)
			if err != nil || strings.HasPrefix(n, "+") {
				return nil, nil
			}
			it := item{"pk": &types.AttributeValueMemberS{Value: pk}, "sk": &types.AttributeValueMemberN{Value: n}}
			key, err := s.encode(it)
			require.NoError(t, err)
			back, err := s.decode(key)
			require.NoError(t, err)
			require.Equal(t, it["pk"], back["pk"])
			got, err := parseDecimal(back["sk"].(*types.AttributeValueMemberN).Value)
			require.NoError(t, err)
			require.Zero(t, rat(d).Cmp(rat(got)), "%s came back as %s", n, got)
			return key, rat(d)
		}
		x, p := encode(a)
		y, q := encode(b)
		if p != nil && q != nil {
			require.Equal(t, p.Cmp(q), bytes.Compare(x, y), "%s and %s", a, b)
		}
	})
}

func rat(d decimal) *big.Rat {
	r := new(big.Rat).SetInt(d.units)
	power := new(big.Rat).SetInt(new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(max(d.exponent, -d.exponent))), nil))
	if d.exponent < 0 {
		return r.Quo(r, power)
	}
	return r.Mul(r, power)
}
