package dynamomemory

import (
	"fmt"
	"strings"
)

// writeTerraform writes the table as one resource.
//
// https://github.com/hashicorp/terraform-provider-aws/blob/main/website/docs/r/dynamodb_table.html.markdown
func (o *TableOptions) writeTerraform(out *strings.Builder, table string) {
	w := hcl{out: out}
	in := o.createInput(table)
	w.open(`resource "aws_dynamodb_table" "conversations"`)
	w.set("name", table)
	w.set("billing_mode", string(in.BillingMode))
	w.set("hash_key", o.Schema.PartitionKey)
	w.set("range_key", o.Schema.SortKey)
	if o.DeletionProtection {
		w.set("deletion_protection_enabled", true)
	}
	if len(o.Replicas) > 0 { // as the provider has it, also where nothing reads the stream
		w.set("stream_enabled", true)
		w.set("stream_view_type", "NEW_AND_OLD_IMAGES")
	}
	for _, a := range in.AttributeDefinitions {
		w.block("attribute", "name", *a.AttributeName, "type", string(a.AttributeType))
	}
	for _, i := range in.GlobalSecondaryIndexes {
		w.block("global_secondary_index", "name", *i.IndexName, "hash_key", *i.KeySchema[0].AttributeName,
			"range_key", *i.KeySchema[1].AttributeName, "projection_type", string(i.Projection.ProjectionType))
	}
	for _, i := range in.LocalSecondaryIndexes {
		w.block("local_secondary_index", "name", *i.IndexName,
			"range_key", *i.KeySchema[1].AttributeName, "projection_type", string(i.Projection.ProjectionType))
	}
	if !o.NoTTL {
		w.block("ttl", "attribute_name", o.Schema.TTL, "enabled", true)
	}
	if !o.NoRecovery {
		w.block("point_in_time_recovery", "enabled", true)
	}
	o.terraformReplicas(&w)
	w.open("lifecycle")
	w.set("prevent_destroy", true)
	w.close()
	w.close()
}

func (o *TableOptions) terraformReplicas(w *hcl) {
	own := o.KMSKey // of the Region of the provider
	if len(o.Replicas) > 0 {
		own = o.replicaKey(o.Replicas[0])
	}
	if len(o.kmsKeys()) > 0 {
		sse := []any{"enabled", true}
		if own != "" && own != awsManagedKey {
			sse = append(sse, "kms_key_arn", own)
		}
		w.block("server_side_encryption", sse...)
	}
	for i, r := range o.Replicas {
		if i > 0 { // the provider's own Region is the table itself
			w.block("replica", o.terraformReplica(r)...)
		}
	}
	if o.Witness != "" {
		w.block("global_table_witness", "region_name", o.Witness)
	}
}

func (o *TableOptions) terraformReplica(r Replica) []any {
	replica := []any{"region_name", r.Region}
	if o.Consistency == Strong {
		replica = append(replica, "consistency_mode", Strong.String())
	}
	if key := o.replicaKey(r); key != "" {
		replica = append(replica, "kms_key_arn", key)
	}
	if !o.NoRecovery {
		replica = append(replica, "point_in_time_recovery", true)
	}
	if o.DeletionProtection {
		replica = append(replica, "deletion_protection_enabled", true)
	}
	return replica
}

// hcl writes blocks of Terraform's language, as terraform fmt has them.
type hcl struct {
	out    *strings.Builder
	indent string
	lines  [][2]string // arguments of the block, to be aligned
}

func (w *hcl) open(header string) {
	w.flush()
	if w.indent != "" {
		w.out.WriteByte('\n')
	}
	w.out.WriteString(w.indent + header + " {\n")
	w.indent += "  "
}

func (w *hcl) close() {
	w.flush()
	w.indent = strings.TrimSuffix(w.indent, "  ")
	w.out.WriteString(w.indent + "}\n")
}

func (w *hcl) set(name string, value any) {
	text := fmt.Sprint(value)
	if s, ok := value.(string); ok {
		text = hclQuote(s)
	}
	w.lines = append(w.lines, [2]string{name, text})
}

func (w *hcl) flush() {
	width := 0
	for _, l := range w.lines {
		width = max(width, len(l[0]))
	}
	for _, l := range w.lines {
		fmt.Fprintf(w.out, "%s%-*s = %s\n", w.indent, width, l[0], l[1])
	}
	w.lines = nil
}

// block writes a block of arguments: names and values by turns.
func (w *hcl) block(header string, arguments ...any) {
	w.open(header)
	for i := 0; i+1 < len(arguments); i += 2 {
		w.set(fmt.Sprint(arguments[i]), arguments[i+1])
	}
	w.close()
}

// hclQuote writes a string in which nothing is a template.
func hclQuote(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(quote(s))
}
