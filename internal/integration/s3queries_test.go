package integration

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/aws/aws-sdk-go-v2/service/s3vectors/types"

	"github.com/genaistore/genaistore/internal/integration/servers"
)

func queryExact(x *index) error {
	if err := x.load(500); err != nil {
		return err
	}
	q := x.vectors["v007"]
	found, err := x.query(q, 10, withAll)
	if err != nil {
		return err
	}
	if err := same("keys", keysOf(found), x.nearest(q, 10, nil)); err != nil {
		return err
	}
	for _, v := range found {
		if v.Distance == nil || math.Abs(float64(*v.Distance)-cosineDistance(q, x.vectors[*v.Key])) > 1e-4 {
			return fmt.Errorf("the distance of %s is not %f", *v.Key, cosineDistance(q, x.vectors[*v.Key]))
		}
		var m map[string]any
		if v.Metadata == nil {
			return errors.New("no metadata")
		}
		if err := v.Metadata.UnmarshalSmithyDocument(&m); err != nil {
			return err
		}
		if err := same("text", m["text"], x.metadata[*v.Key]["text"]); err != nil {
			return err
		}
	}
	return nil
}

// A filter and what it must keep.
type filter struct {
	name string
	json map[string]any
	keep func(m map[string]any) bool
}

type object = map[string]any

func filters() func(yield func(servers.Capability, []filter) bool) {
	tenant := func(want ...string) func(object) bool {
		return func(m object) bool { return slices.Contains(want, m["tenant"].(string)) }
	}
	year := func(in func(int) bool) func(object) bool { return func(m object) bool { return in(m["year"].(int)) } }
	list := []struct {
		servers.Capability
		filters []filter
	}{
		{servers.FilterEquals, []filter{
			{"implicit", object{"tenant": "t1"}, tenant("t1")},
			{"$eq", object{"tenant": object{"$eq": "t1"}}, tenant("t1")},
			{"$and", object{"$and": []any{object{"tenant": "t1"}, object{"year": 2004}}}, func(m object) bool {
				return m["tenant"] == "t1" && m["year"] == 2004
			}},
		}},
		{servers.FilterSets, []filter{
			{"$in", object{"tenant": object{"$in": []any{"t0", "t2"}}}, tenant("t0", "t2")},
			{"$nin", object{"tenant": object{"$nin": []any{"t0", "t2"}}}, tenant("t1")},
			{"$ne", object{"tenant": object{"$ne": "t1"}}, tenant("t0", "t2")},
		}},
		{servers.FilterRanges, []filter{
			{"$gt and $lte", object{"year": object{"$gt": 2010, "$lte": 2012}}, year(func(y int) bool { return y > 2010 && y <= 2012 })},
			{"$gte", object{"year": object{"$gte": 2020}}, year(func(y int) bool { return y >= 2020 })},
			{"$lt", object{"year": object{"$lt": 2003}}, year(func(y int) bool { return y < 2003 })},
		}},
		{servers.FilterOr, []filter{
			{"$or", object{"$or": []any{object{"year": object{"$lt": 2003}}, object{"ok": true}}}, func(m object) bool {
				return m["year"].(int) < 2003 || m["ok"] == true
			}},
		}},
		{servers.FilterExists, []filter{
			{"true", object{"rare": object{"$exists": true}}, func(m object) bool { return m["rare"] != nil }},
			{"false", object{"rare": object{"$exists": false}}, func(m object) bool { return m["rare"] == nil }},
		}},
		{servers.FilterLists, []filter{
			{"element", object{"tags": "3"}, func(m object) bool { return slices.Contains(m["tags"].([]string), "3") }},
		}},
		{servers.FilterFields, []filter{
			{"two fields", object{"tenant": "t1", "ok": true}, func(m object) bool { return m["tenant"] == "t1" && m["ok"] == true }},
			{"$and beside a field", object{"ok": true, "$and": []any{object{"tenant": "t1"}}}, func(m object) bool {
				return m["tenant"] == "t1" && m["ok"] == true
			}},
		}},
	}
	return func(yield func(servers.Capability, []filter) bool) {
		for _, f := range list {
			if !yield(f.Capability, f.filters) {
				return
			}
		}
	}
}

func filtered(x *index, filters []filter) error {
	if err := x.load(200); err != nil {
		return err
	}
	q := x.vectors["v007"]
	for _, f := range filters {
		found, err := x.query(q, 10, where(f.json))
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
		if err := same(f.name, keysOf(found), x.nearest(q, 10, f.keep)); err != nil {
			return err
		}
	}
	return nil
}

func rejectedFilter(key string, operand any) func(*index) error {
	return func(x *index) error {
		if err := x.load(10); err != nil {
			return err
		}
		_, err := x.query(ones(dimensions), 3, where(object{key: operand}))
		return failsAs[*types.ValidationException](err)
	}
}

func queryUnrequested(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	found, err := x.query(ones(dimensions), 3)
	if err != nil {
		return err
	}
	for _, v := range found {
		if v.Distance != nil || v.Metadata != nil {
			return errors.New("distance or metadata unasked")
		}
	}
	return same("vectors", len(found), 3)
}

func queryDimension(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	_, err := x.query(ones(3), 3)
	return failsAs[*types.ValidationException](err)
}

func queryLimit(x *index) error {
	if err := x.load(10); err != nil {
		return err
	}
	_, err := x.query(ones(dimensions), 10_001)
	return failsAs[*types.ValidationException](err)
}

// queryBeyond100 is content with the first page: the SDK cannot ask for the next.
func queryBeyond100(x *index) error {
	if err := x.load(150); err != nil {
		return err
	}
	found, err := x.query(ones(dimensions), 150)
	if err != nil {
		return err
	}
	if len(found) < 100 {
		return fmt.Errorf("%d vectors", len(found))
	}
	return nil
}
