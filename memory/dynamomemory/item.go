package dynamomemory

import (
	"fmt"
	"maps"
	"strconv"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/genaistore/genaistore/memory"
)

type item = map[string]types.AttributeValue

// schemaVersion is what this package writes. Items of a later one are refused.
const schemaVersion = 1

func str(s string) *types.AttributeValueMemberS { return &types.AttributeValueMemberS{Value: s} }

func num(n int64) *types.AttributeValueMemberN {
	return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
}

func bin(b []byte) *types.AttributeValueMemberB { return &types.AttributeValueMemberB{Value: b} }

func strs(list []string) *types.AttributeValueMemberL {
	out := make([]types.AttributeValue, len(list))
	for i, s := range list {
		out[i] = str(s)
	}
	return &types.AttributeValueMemberL{Value: out}
}

func strMap(m map[string]string) *types.AttributeValueMemberM {
	out := make(item, len(m))
	for k, v := range m {
		out[k] = str(v)
	}
	return &types.AttributeValueMemberM{Value: out}
}

func getString(it item, name string) string {
	if v, ok := it[name].(*types.AttributeValueMemberS); ok {
		return v.Value
	}
	return ""
}

func getInt(it item, name string) int64 {
	if v, ok := it[name].(*types.AttributeValueMemberN); ok {
		if n, err := strconv.ParseInt(v.Value, 10, 64); err == nil {
			return n
		}
	}
	return 0
}

func getBytes(it item, name string) []byte {
	if v, ok := it[name].(*types.AttributeValueMemberB); ok {
		return v.Value
	}
	return nil
}

func getStrings(it item, name string) []string {
	v, ok := it[name].(*types.AttributeValueMemberL)
	if !ok {
		return nil
	}
	var out []string
	for _, e := range v.Value {
		if s, ok := e.(*types.AttributeValueMemberS); ok {
			out = append(out, s.Value)
		}
	}
	return out
}

func getMap(it item, name string) map[string]string {
	out := map[string]string{}
	if v, ok := it[name].(*types.AttributeValueMemberM); ok {
		for k, e := range v.Value {
			if s, ok := e.(*types.AttributeValueMemberS); ok {
				out[k] = s.Value
			}
		}
	}
	return out
}

// checkSchema refuses items that a later version of this package wrote.
func checkSchema(it item) error {
	if v := getInt(it, attrSchema); v > schemaVersion {
		return fmt.Errorf("%w: an item of schema %d: this version of the library reads up to %d, upgrade it", memory.ErrCorrupt, v, schemaVersion)
	}
	return nil
}

// An expression collects what an update sets and removes.
type expression struct {
	names  map[string]string
	values item
	set    []string
	remove []string
}

func newExpression() *expression { return &expression{names: map[string]string{}, values: item{}} }

// name returns the placeholder of an attribute.
func (e *expression) name(attr string) string {
	for k, v := range e.names {
		if v == attr {
			return k
		}
	}
	k := "#" + strconv.Itoa(len(e.names))
	e.names[k] = attr
	return k
}

func (e *expression) value(v types.AttributeValue) string {
	k := ":" + strconv.Itoa(len(e.values))
	e.values[k] = v
	return k
}

func (e *expression) put(attr string, v types.AttributeValue) {
	e.set = append(e.set, e.name(attr)+"="+e.value(v))
}

// putNew sets attr unless it, or unless is there.
func (e *expression) putNew(attr, unless string, v types.AttributeValue) {
	e.set = append(e.set, e.name(attr)+"=if_not_exists("+e.name(unless)+","+e.value(v)+")")
}

func (e *expression) drop(attr string) { e.remove = append(e.remove, e.name(attr)) }

func (e *expression) putAll(it item) {
	for name, v := range it {
		e.put(name, v)
	}
}

func (e *expression) update() *string {
	text := ""
	for i, s := range e.set {
		if i == 0 {
			text = "SET " + s
			continue
		}
		text += "," + s
	}
	for i, s := range e.remove {
		if i == 0 {
			text += " REMOVE " + s
			continue
		}
		text += "," + s
	}
	return &text
}

// nameMap and valueMap are nil where there is nothing in them, as DynamoDB wants.
func (e *expression) nameMap() map[string]string {
	if len(e.names) == 0 {
		return nil
	}
	return maps.Clone(e.names)
}

func (e *expression) valueMap() item {
	if len(e.values) == 0 {
		return nil
	}
	return e.values
}
