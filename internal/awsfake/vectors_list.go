package awsfake

import (
	"cmp"
	"maps"
	"net/http"
	"slices"
	"sort"
	"strings"
)

// pageBytes is what a list reads before it ends a page.
const pageBytes = 1 << 20

func byPosition(a, b *record) int { return strings.Compare(a.position, b.position) }

// sorted returns the records in the order of lists, which is that of no key.
func (x *vectorIndex) sorted() []*record {
	if x.order == nil {
		x.order = slices.SortedFunc(maps.Values(x.records), byPosition)
	}
	return x.order
}

func (f *Vectors) list(r *http.Request) (any, error) {
	var in struct {
		address
		MaxResults, SegmentCount, SegmentIndex *int
		NextToken                              string
		ReturnData, ReturnMetadata             bool
	}
	if err := decode(r, &in); err != nil {
		return nil, err
	}
	found, err := f.index(in.address)
	if err != nil {
		return nil, err
	}
	if err := cmp.Or(checkRange("maxResults", in.MaxResults, 1, 1000), checkRange("segmentCount", in.SegmentCount, 1, 16), checkRange("segmentIndex", in.SegmentIndex, 0, 15)); err != nil {
		return nil, err
	}
	// The Go client leaves out a segmentIndex of 0.
	count, segment, limit := 1, 0, 500
	count, segment, limit = *cmp.Or(in.SegmentCount, &count), *cmp.Or(in.SegmentIndex, &segment), *cmp.Or(in.MaxResults, &limit)
	if segment >= count || in.SegmentIndex != nil && in.SegmentCount == nil {
		return nil, invalid("segmentIndex must be less than segmentCount")
	}
	after, err := position(in.NextToken, count, segment)
	if err != nil {
		return nil, err
	}
	answer, next := []vectorMember{}, ""
	all, size := found.sorted(), 0
	for i := sort.Search(len(all), func(i int) bool { return all[i].position > after }); i < len(all); i++ {
		v := all[i]
		if int(v.hash%uint64(count)) != segment {
			continue
		}
		if len(answer) == limit || size >= pageBytes {
			next = token(after, count, segment)
			break
		}
		answer = append(answer, v.member(in.ReturnData, in.ReturnMetadata))
		size += 4*len(v.data) + len(v.key) + len(v.text)
		after = v.position
	}
	return withToken(map[string]any{"vectors": answer}, next), nil
}

// token names the place after position in a segment.
func token(position string, count, segment int) string {
	return string(rune('a'+count)) + string(rune('a'+segment)) + position
}

func position(token string, count, segment int) (string, error) {
	if token == "" {
		return "", nil
	}
	if len(token) != 34 || token[0] != byte('a'+count) || token[1] != byte('a'+segment) {
		return "", invalid("Invalid nextToken")
	}
	return token[2:], nil
}
