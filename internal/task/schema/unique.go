package schema

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"
	"strconv"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// checkUnique checks uniqueItems by hashing each item. The seed of the hash is random, so that no author of a value can choose
// items that collide.
func (c *children) checkUnique(ctx *jsonschema.ValidatorContext, array []any) {
	c.meter.spend(len(array) / 4)
	seen := make(map[uint64]int, len(array))
	var sum maphash.Hash
	for i, item := range array {
		sum.Reset()
		c.writeTo(&sum, item)
		first, ok := seen[sum.Sum64()]
		// The same hash alone does not make two items equal.
		if ok && c.meter.equal(array[first], item) {
			c.meter.keep(1)
			ctx.AddError(&kind.UniqueItems{Duplicates: [2]int{first, i}})
			return
		}
		seen[sum.Sum64()] = i
	}
}

// writeTo hashes a value: equal values have equal hashes, and different ones write different bytes.
func (c *children) writeTo(sum *maphash.Hash, v any) {
	c.meter.spend(1)
	switch v := c.meter.instance.resolve(v).(type) {
	case json.Number:
		// 1 and 1.0 are equal.
		writeText(sum, '0', canonicalNumber(v))
	case string:
		c.meter.spend(len(v) / 4096)
		writeText(sum, '"', v)
	case []any:
		writeText(sum, '[', strconv.Itoa(len(v)))
		for _, item := range v {
			c.writeTo(sum, item)
		}
	case map[string]any:
		writeText(sum, '{', strconv.Itoa(len(v)))
		// The order of members means nothing (RFC 8259, section 1).
		for _, name := range slices.Sorted(maps.Keys(v)) {
			writeText(sum, '"', name)
			c.writeTo(sum, v[name])
		}
	default: // null, true and false
		writeText(sum, 'n', fmt.Sprint(v))
	}
}

// writeText hashes a text after its type and its length, so that no two lists of texts write the same bytes.
func writeText(sum *maphash.Hash, of byte, text string) {
	head := binary.AppendUvarint([]byte{of}, uint64(len(text)))
	_, _ = sum.Write(head) // it never fails
	_, _ = sum.WriteString(text)
}
