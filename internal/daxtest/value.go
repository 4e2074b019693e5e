package daxtest

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// Tags of what CBOR lacks.
const (
	tagStringSet = 3321
	tagNumberSet = 3322
	tagBinarySet = 3323
	tagOrdinal   = 3324 // the index of a list, in a document path
)

type item = map[string]types.AttributeValue

func (w *writer) value(v types.AttributeValue) error {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		w.text(v.Value)
	case *types.AttributeValueMemberN:
		return w.number(v.Value)
	case *types.AttributeValueMemberB:
		w.bytes(v.Value)
	case *types.AttributeValueMemberBOOL:
		w.bool(v.Value)
	case *types.AttributeValueMemberNULL:
		w.null()
	case *types.AttributeValueMemberSS, *types.AttributeValueMemberNS, *types.AttributeValueMemberBS:
		return w.set(v)
	case *types.AttributeValueMemberL:
		w.array(len(v.Value))
		for _, e := range v.Value {
			if err := w.value(e); err != nil {
				return err
			}
		}
	case *types.AttributeValueMemberM:
		w.mapping(len(v.Value))
		for _, k := range slices.Sorted(maps.Keys(v.Value)) {
			w.text(k)
			if err := w.value(v.Value[k]); err != nil {
				return err
			}
		}
	default:
		return fmt.Errorf("an attribute value of type %T", v)
	}
	return nil
}

func (w *writer) set(v types.AttributeValue) error {
	switch v := v.(type) {
	case *types.AttributeValueMemberSS:
		w.tag(tagStringSet)
		w.array(len(v.Value))
		for _, s := range v.Value {
			w.text(s)
		}
	case *types.AttributeValueMemberBS:
		w.tag(tagBinarySet)
		w.array(len(v.Value))
		for _, b := range v.Value {
			w.bytes(b)
		}
	case *types.AttributeValueMemberNS:
		w.tag(tagNumberSet)
		w.array(len(v.Value))
		for _, n := range v.Value {
			if err := w.number(n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (r *reader) value() (types.AttributeValue, error) {
	h, err := r.peek()
	if err != nil {
		return nil, err
	}
	switch h >> 5 {
	case majorUint, majorNeg:
		n, err := r.number()
		return number(n, err)
	case majorBytes:
		b, err := r.bytes()
		return &types.AttributeValueMemberB{Value: b}, err
	case majorText:
		s, err := r.text()
		return &types.AttributeValueMemberS{Value: s}, err
	case majorArray:
		return r.list()
	case majorMap:
		return r.document()
	case majorTag:
		return r.tagged()
	}
	if err := r.readByte(); err != nil {
		return nil, err
	}
	switch h {
	case simpleFalse, simpleTrue:
		return &types.AttributeValueMemberBOOL{Value: h == simpleTrue}, nil
	case simpleNull:
		return &types.AttributeValueMemberNULL{Value: true}, nil
	}
	return nil, fmt.Errorf("cbor: %#x is no attribute value", h)
}

func number(d decimal, err error) (types.AttributeValue, error) {
	if err != nil {
		return nil, err
	}
	return &types.AttributeValueMemberN{Value: d.String()}, nil
}

func (r *reader) list() (types.AttributeValue, error) {
	l := &types.AttributeValueMemberL{Value: []types.AttributeValue{}}
	err := r.each(majorArray, func(int) error {
		e, err := r.value()
		l.Value = append(l.Value, e)
		return err
	})
	return l, err
}

func (r *reader) document() (types.AttributeValue, error) {
	m := &types.AttributeValueMemberM{Value: item{}}
	err := r.each(majorMap, func(int) error {
		k, err := r.text()
		if err == nil {
			m.Value[k], err = r.value()
		}
		return err
	})
	return m, err
}

func (r *reader) tagged() (types.AttributeValue, error) {
	b, err := r.br.Peek(3)
	if len(b) == 0 {
		return nil, err
	}
	// The tags of numbers fit the first byte; those of sets take three.
	if b[0]&0x1f < 24 {
		n, err := r.number()
		return number(n, err)
	}
	h, err := r.head()
	if err != nil {
		return nil, err
	}
	switch h.value {
	case tagStringSet:
		v := &types.AttributeValueMemberSS{}
		err = r.each(majorArray, func(int) error {
			s, err := r.text()
			v.Value = append(v.Value, s)
			return err
		})
		return v, err
	case tagBinarySet:
		v := &types.AttributeValueMemberBS{}
		err = r.each(majorArray, func(int) error {
			b, err := r.bytes()
			v.Value = append(v.Value, b)
			return err
		})
		return v, err
	case tagNumberSet:
		v := &types.AttributeValueMemberNS{}
		err = r.each(majorArray, func(int) error {
			n, err := r.number()
			if err == nil {
				v.Value = append(v.Value, n.String())
			}
			return err
		})
		return v, err
	}
	return nil, errors.New("cbor: a tag that marks no attribute value")
}
