package publisher

import (
	"bytes"
	"fmt"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/tributary-cdc/tributary/decoder"
)

// sampleBytes is how much of a heavy batch tells how well the rest will compress.
const sampleBytes = 256 << 10

// compressor gives what a heavy batch compresses to its memory at once. The buffer that Kafka's client has
// for it grows by doubling, and what does not compress would stand in it three times at the last step.
type compressor struct{ kgo.Compressor }

// Compression returns the option of Kafka's client that has batches compressed by a codec.
func Compression(codec kgo.CompressionCodec) (kgo.Opt, error) {
	c, err := kgo.DefaultCompressor(codec)
	if err != nil {
		return nil, fmt.Errorf("make the compressor: %w", err)
	}
	if c == nil {
		return kgo.ProducerBatchCompression(codec), nil // none
	}
	return kgo.WithCompressor(compressor{c}), nil
}

// Compress implements kgo.Compressor.
func (c compressor) Compress(dst *bytes.Buffer, src []byte, flags ...kgo.CompressFlag) ([]byte,
	kgo.CompressionCodecType,
) {
	if decoder.Heavy(len(src)) {
		part, _ := c.Compressor.Compress(new(bytes.Buffer), src[:sampleBytes], flags...)
		// A tenth more, as no sample is exact, and no more than what does not compress at all takes.
		expected := len(src) / sampleBytes * len(part)
		dst.Grow(min(expected+expected/10, len(src)+len(src)/64))
	}
	return c.Compressor.Compress(dst, src, flags...)
}
