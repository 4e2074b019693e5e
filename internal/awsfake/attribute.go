package awsfake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"math/big"
	"strings"
	"unicode/utf8"
)

// An attribute is a value of DynamoDB as its JSON has it: one field is set.
type attribute struct {
	S    *string
	N    *string
	B    []byte
	BOOL *bool
	NULL *bool
	M    map[string]attribute
	L    []attribute
	SS   []string
	NS   []string
	BS   [][]byte
}

// MarshalJSON keeps empty maps, lists and byte slices, which are values.
func (a attribute) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]any{a.kind(): a.value()})
}

// kind returns the name of the field that is set, or "".
func (a attribute) kind() string {
	switch {
	case a.S != nil:
		return "S"
	case a.N != nil:
		return "N"
	case a.B != nil:
		return "B"
	case a.BOOL != nil:
		return "BOOL"
	case a.NULL != nil:
		return "NULL"
	case a.M != nil:
		return "M"
	case a.L != nil:
		return "L"
	case a.SS != nil:
		return "SS"
	case a.NS != nil:
		return "NS"
	case a.BS != nil:
		return "BS"
	}
	return ""
}

func (a attribute) value() any {
	switch a.kind() {
	case "S":
		return *a.S
	case "N":
		return *a.N
	case "B":
		return a.B
	case "BOOL":
		return *a.BOOL
	case "NULL":
		return *a.NULL
	case "M":
		return a.M
	case "L":
		return a.L
	case "SS":
		return a.SS
	case "NS":
		return a.NS
	}
	return a.BS
}

// size is what DynamoDB charges for the value.
func (a attribute) size() int {
	switch a.kind() {
	case "S":
		return len(*a.S)
	case "N":
		return numberSize(*a.N)
	case "B":
		return len(a.B)
	case "M":
		return 3 + len(a.M) + item(a.M).size()
	case "L":
		n := 3 + len(a.L)
		for _, element := range a.L {
			n += element.size()
		}
		return n
	case "SS":
		return len(strings.Join(a.SS, ""))
	case "NS":
		n := 0
		for _, number := range a.NS {
			n += numberSize(number)
		}
		return n
	case "BS":
		return len(bytes.Join(a.BS, nil))
	}
	return 1
}

// numberSize is about one byte for two significant digits, and one.
func numberSize(n string) int {
	return min(21, 1+(len(strings.Trim(n, "-+.0"))+1)/2)
}

// compare orders two values of one kind; ok is false where they have no order.
func (a attribute) compare(b attribute) (order int, ok bool) {
	switch {
	case a.kind() != b.kind():
		return 0, false
	case a.S != nil:
		return cmp.Compare(*a.S, *b.S), true
	case a.B != nil:
		return bytes.Compare(a.B, b.B), true
	case a.N != nil:
		x, okX := new(big.Rat).SetString(*a.N)
		y, okY := new(big.Rat).SetString(*b.N)
		if !okX || !okY {
			return 0, false
		}
		return x.Cmp(y), true
	}
	return 0, false
}

func (a attribute) equal(b attribute) bool {
	if order, ok := a.compare(b); ok {
		return order == 0
	}
	x, errX := a.MarshalJSON()
	y, errY := b.MarshalJSON()
	return errX == nil && errY == nil && bytes.Equal(x, y)
}

// validate says why DynamoDB would not store the value.
func (a attribute) validate(name string) error {
	switch a.kind() {
	case "":
		return invalid("attribute %s has no value", name)
	case "S":
		if !utf8.ValidString(*a.S) {
			return invalid("attribute %s is not UTF-8", name)
		}
	case "N":
		if _, ok := new(big.Rat).SetString(*a.N); !ok {
			return invalid("attribute %s is not a number: %q", name, *a.N)
		}
	case "M":
		for key, element := range a.M {
			if err := element.validate(name + "." + key); err != nil {
				return err
			}
		}
	case "L":
		for _, element := range a.L {
			if err := element.validate(name + "[]"); err != nil {
				return err
			}
		}
	case "SS", "NS", "BS":
		if len(a.SS)+len(a.NS)+len(a.BS) == 0 {
			return invalid("attribute %s is an empty set", name)
		}
	}
	return nil
}

// An item is the attributes of one key.
type item map[string]attribute

func (i item) size() int {
	n := 0
	for name, value := range i {
		n += len(name) + value.size()
	}
	return n
}
