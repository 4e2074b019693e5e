package dynamomemory

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/genaistore/genaistore/internal/fault"
)

// Format is a language that describes tables.
type Format int

// The languages of [Describe].
const (
	// CloudFormationYAML is a template with one resource, AWS::DynamoDB::Table or
	// AWS::DynamoDB::GlobalTable. Deploy it in the Region of the first replica.
	CloudFormationYAML Format = iota
	// CloudFormationJSON is the same template.
	CloudFormationJSON
	// Terraform is one aws_dynamodb_table for a provider of the first replica's
	// Region. Version 6.3 of the AWS provider knows strong consistency, 6.9 the
	// deletion protection of replicas, 6.22 witnesses. Keys are given by their ARN.
	Terraform
)

// Describe returns a table in a language that deploys it: one in a single Region
// without opts.Replicas, else a global table, which a change of opts.Replicas
// later extends. [EnsureTable] with the same options finds nothing wrong with
// the result. The table outlives its stack.
//
//   - https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-dynamodb-table.html
//   - https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-dynamodb-globaltable.html
//   - https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/V2globaltables_HowItWorks.html
//
// Options that contradict each other and unknown formats are errors that match
// memory.ErrInvalid.
func Describe(format Format, table string, opts *TableOptions) (string, error) {
	if err := validateTable(table, opts); err != nil {
		return "", fmt.Errorf("describe table %s: %w", table, err)
	}
	given := opts.WithDefaults()
	var out strings.Builder
	switch format {
	case CloudFormationYAML:
		writeYAML(&out, given.template(table), "")
	case CloudFormationJSON:
		writeJSON(&out, given.template(table), "")
		out.WriteByte('\n')
	case Terraform:
		for _, key := range given.kmsKeys() {
			if key != awsManagedKey && !strings.HasPrefix(key, "arn:") {
				return "", fmt.Errorf("describe table %s: %w: Terraform takes the ARN of a key, not %q", table, fault.Invalid, key)
			}
		}
		given.writeTerraform(&out, table)
	default:
		return "", fmt.Errorf("describe table %s: %w: unknown format %d", table, fault.Invalid, format)
	}
	return out.String(), nil
}

// An object keeps the order of its members, so that a description reads from
// what a table is to what guards it.
type object []member

type member struct {
	name  string
	value any // a string or a list of them, a bool, an object or a list of them
}

// quote writes a string as JSON does. YAML reads that as the same string.
func quote(s string) string {
	var out strings.Builder
	encoder := json.NewEncoder(&out)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		return `""` // no string is refused: bytes that are no UTF-8 are replaced
	}
	return strings.TrimSuffix(out.String(), "\n")
}

func writeJSON(out *strings.Builder, v any, indent string) {
	inner := indent + "  "
	switch v := v.(type) {
	case object:
		out.WriteString("{\n")
		for i, m := range v {
			out.WriteString(inner + quote(m.name) + ": ")
			writeJSON(out, m.value, inner)
			endElement(out, i, len(v))
		}
		out.WriteString(indent + "}")
	case []object:
		out.WriteString("[\n")
		for i, element := range v {
			out.WriteString(inner)
			writeJSON(out, element, inner)
			endElement(out, i, len(v))
		}
		out.WriteString(indent + "]")
	default:
		out.WriteString(scalar(v))
	}
}

// scalar writes what stands in one line, and is the same in JSON and YAML.
func scalar(v any) string {
	switch v := v.(type) {
	case string:
		return quote(v)
	case []string:
		quoted := make([]string, 0, len(v))
		for _, s := range v {
			quoted = append(quoted, quote(s))
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprint(v)
}

func endElement(out *strings.Builder, i, n int) {
	if i < n-1 {
		out.WriteByte(',')
	}
	out.WriteByte('\n')
}

func writeYAML(out *strings.Builder, v object, indent string) {
	for i, m := range v {
		if i > 0 || indent == "" {
			out.WriteString(indent)
		}
		out.WriteString(m.name + ":")
		switch value := m.value.(type) {
		case object:
			out.WriteString("\n" + indent + "  ")
			writeYAML(out, value, indent+"  ")
		case []object:
			out.WriteByte('\n')
			for _, element := range value {
				out.WriteString(indent + "  - ")
				writeYAML(out, element, indent+"    ")
			}
		default:
			out.WriteString(" " + scalar(value) + "\n")
		}
	}
}
