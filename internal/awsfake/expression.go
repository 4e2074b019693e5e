package awsfake

import (
	"regexp"
	"slices"
	"strings"
)

// A condition is a parsed condition, filter or key condition expression.
type condition interface {
	holds(it item) bool
}

// The forms that the fakes know. Operands are paths of one name, or values.
type (
	both       struct{ left, right condition }
	either     struct{ left, right condition }
	not        struct{ inner condition }
	exists     struct{ path string }
	beginsWith struct{ path, value operand }
	comparison struct {
		left, right operand
		operator    string
	}
	between struct{ value, low, high operand }
)

// An operand is an attribute of the item, or a value of the request.
type operand struct {
	path  string
	value attribute
}

func (o operand) in(it item) (attribute, bool) {
	if o.path == "" {
		return o.value, true
	}
	value, ok := it[o.path]
	return value, ok
}

func (c both) holds(it item) bool   { return c.left.holds(it) && c.right.holds(it) }
func (c either) holds(it item) bool { return c.left.holds(it) || c.right.holds(it) }
func (c not) holds(it item) bool    { return !c.inner.holds(it) }

func (c exists) holds(it item) bool {
	_, ok := it[c.path]
	return ok
}

func (c beginsWith) holds(it item) bool {
	value, ok := c.path.in(it)
	prefix, _ := c.value.in(it)
	switch {
	case !ok:
		return false
	case value.S != nil && prefix.S != nil:
		return strings.HasPrefix(*value.S, *prefix.S)
	case value.B != nil && prefix.B != nil:
		return strings.HasPrefix(string(value.B), string(prefix.B))
	}
	return false
}

func (c comparison) holds(it item) bool {
	left, okLeft := c.left.in(it)
	right, okRight := c.right.in(it)
	switch {
	case !okLeft || !okRight:
		return c.operator == "<>" && okLeft != okRight
	case c.operator == "=":
		return left.equal(right)
	case c.operator == "<>":
		return !left.equal(right)
	}
	order, ok := left.compare(right)
	if !ok {
		return false
	}
	switch c.operator {
	case "<":
		return order < 0
	case "<=":
		return order <= 0
	case ">":
		return order > 0
	}
	return order >= 0
}

func (c between) holds(it item) bool {
	return comparison{c.low, c.value, "<="}.holds(it) && comparison{c.value, c.high, "<="}.holds(it)
}

// keys returns what a key condition asks of the partition and sort key: hash = x,
// and at most one comparison, BETWEEN or begins_with of the sort key.
func keys(c condition, hash, sort string) (partition attribute, err error) {
	parts := []condition{c}
	if c, ok := c.(both); ok {
		parts = []condition{c.left, c.right}
	}
	found := false
	for _, part := range parts {
		switch part := part.(type) {
		case comparison:
			if part.left.path == hash && part.operator == "=" && part.right.path == "" && !found {
				partition, found = part.right.value, true
				continue
			}
			if part.left.path == sort && sort != "" && part.operator != "<>" && part.right.path == "" {
				continue
			}
		case between:
			if part.value.path == sort && sort != "" {
				continue
			}
		case beginsWith:
			if part.path.path == sort && sort != "" {
				continue
			}
		}
		return attribute{}, invalid("Query key condition not supported")
	}
	if !found {
		return attribute{}, invalid("Query condition missed key schema element: %s", hash)
	}
	return partition, nil
}

// expressions are the placeholders of one request, and which were used.
type expressions struct {
	Names  map[string]string
	Values map[string]attribute
	used   map[string]bool
}

func newExpressions(names map[string]string, values map[string]attribute) *expressions {
	return &expressions{names, values, map[string]bool{}}
}

// unused refuses what DynamoDB refuses: placeholders that no expression has.
func (e *expressions) unused() error {
	for name := range e.Names {
		if !e.used[name] {
			return invalid("Value provided in ExpressionAttributeNames unused in expressions: keys: {%s}", name)
		}
	}
	for name, value := range e.Values {
		if !e.used[name] {
			return invalid("Value provided in ExpressionAttributeValues unused in expressions: keys: {%s}", name)
		}
		if err := value.validate(name); err != nil {
			return err
		}
	}
	return nil
}

func (e *expressions) parser(text string) (*parser, error) {
	p := &parser{expressions: e, tokens: tokens.FindAllString(text, -1), text: text}
	if strings.Join(p.tokens, "") != strings.Join(strings.Fields(text), "") {
		return nil, p.problem("a character that the fake does not know")
	}
	return p, nil
}

func (e *expressions) parse(text string) (condition, error) {
	p, err := e.parser(text)
	if err != nil {
		return nil, err
	}
	c, err := p.disjunction()
	if err == nil && len(p.tokens) > 0 {
		err = p.problem("something after its end: " + p.tokens[0])
	}
	return c, err
}

var tokens = regexp.MustCompile(`[#:]?\w+|<>|<=|>=|[=<>(),]`)

type parser struct {
	*expressions
	tokens []string
	text   string
}

func (p *parser) problem(what string) error {
	return invalid("Invalid expression %q: it has %s", p.text, what)
}

func (p *parser) peek() string {
	if len(p.tokens) == 0 {
		return ""
	}
	return p.tokens[0]
}

func (p *parser) next() string {
	token := p.peek()
	p.tokens = p.tokens[min(1, len(p.tokens)):]
	return token
}

// accept takes the next token if it is want, in any case.
func (p *parser) accept(want string) bool {
	if !strings.EqualFold(p.peek(), want) || want == "" {
		return false
	}
	p.next()
	return true
}

func (p *parser) expect(want string) error {
	if !p.accept(want) {
		return p.problem("no " + want + " where one is needed")
	}
	return nil
}

func (p *parser) disjunction() (condition, error) {
	left, err := p.conjunction()
	for err == nil && p.accept("OR") {
		var right condition
		right, err = p.conjunction()
		left = either{left, right}
	}
	return left, err
}

func (p *parser) conjunction() (condition, error) {
	left, err := p.negation()
	for err == nil && p.accept("AND") {
		var right condition
		right, err = p.negation()
		left = both{left, right}
	}
	return left, err
}

func (p *parser) negation() (condition, error) {
	switch {
	case p.accept("NOT"):
		inner, err := p.negation()
		return not{inner}, err
	case p.accept("("):
		inner, err := p.disjunction()
		if err != nil {
			return nil, err
		}
		return inner, p.expect(")")
	}
	return p.predicate()
}

func (p *parser) predicate() (condition, error) {
	if len(p.tokens) > 1 && p.tokens[1] == "(" {
		return p.function()
	}
	left, err := p.operand()
	if err != nil {
		return nil, err
	}
	if p.accept("BETWEEN") {
		low, errLow := p.operand()
		errAnd := p.expect("AND")
		high, errHigh := p.operand()
		for _, err := range []error{errLow, errAnd, errHigh} {
			if err != nil {
				return nil, err
			}
		}
		return between{left, low, high}, nil
	}
	operator := p.next()
	if !slices.Contains([]string{"=", "<>", "<", "<=", ">", ">="}, operator) {
		return nil, p.problem("an operator that the fake does not know: " + operator)
	}
	right, err := p.operand()
	return comparison{left, right, operator}, err
}

func (p *parser) function() (condition, error) {
	name := strings.ToLower(p.next())
	p.next() // the parenthesis that makes it a function
	path, err := p.operand()
	if err != nil {
		return nil, err
	}
	if path.path == "" {
		return nil, p.problem("a value where " + name + " needs an attribute")
	}
	var c condition
	switch name {
	case "attribute_exists":
		c = exists{path.path}
	case "attribute_not_exists":
		c = not{exists{path.path}}
	case "begins_with":
		if err := p.expect(","); err != nil {
			return nil, err
		}
		prefix, err := p.operand()
		if err != nil {
			return nil, err
		}
		c = beginsWith{path, prefix}
	default:
		return nil, p.problem("a function that the fake does not know: " + name)
	}
	return c, p.expect(")")
}

func (p *parser) operand() (operand, error) {
	token := p.next()
	switch {
	case strings.HasPrefix(token, "#"):
		name, ok := p.Names[token]
		if !ok {
			return operand{}, p.problem("a name that is not defined: " + token)
		}
		p.used[token] = true
		return operand{path: name}, nil
	case strings.HasPrefix(token, ":"):
		value, ok := p.Values[token]
		if !ok {
			return operand{}, p.problem("a value that is not defined: " + token)
		}
		p.used[token] = true
		return operand{value: value}, nil
	case token == "" || !regexp.MustCompile(`^[A-Za-z]\w*$`).MatchString(token):
		return operand{}, p.problem("no operand where one is needed")
	case slices.Contains(reserved, strings.ToUpper(token)):
		return operand{}, p.problem("a reserved keyword as a name: " + token)
	}
	return operand{path: token}, nil
}

// reserved are the keywords of DynamoDB that somebody is likely to use as a name;
// the service has some 570.
var reserved = strings.Fields("ACTION AND ATTRIBUTE BETWEEN COUNT COUNTER DATA DATE DAY DELETE EXISTS FILTER HASH IN INDEX ITEM KEY KEYS LANGUAGE LAST LEVEL LIMIT LIST LOCK MAP MODE NAME NOT NULL NUMBER OR ORDER OWNER PATH PARTITION POSITION QUERY RANGE REGION ROLE SESSION SET SIZE SOURCE STATE STATUS STRING SUM TABLE TEXT TIME TIMESTAMP TOKEN TOTAL TTL TYPE USER USERS VALUE VALUES VERSION YEAR")
