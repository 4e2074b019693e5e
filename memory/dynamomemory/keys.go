package dynamomemory

// ownAttributes are the names of the attributes of items that are not keys.
func ownAttributes() []string {
	return []string{
		attrSchema, attrBody, attrHow, attrPrint,
	}
}

const (
	attrSchema = "v"
	attrBody   = "b"
	attrHow    = "c"
	attrPrint  = "h"
)
