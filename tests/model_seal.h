/* Makes the checksums of a model file right again after its bytes were changed, so that a change reaches the checks
 * behind them. For tests and the fuzzer. */
#ifndef INFER_TESTS_MODEL_SEAL_H
#define INFER_TESTS_MODEL_SEAL_H

#include "formats/model_file_reader.h"

#include <string.h>

static inline bool model_inside(uint64_t offset, uint64_t bytes, size_t size)
{
    return offset <= size && bytes <= size - offset;
}

static inline void model_seal_tensors(uint8_t *bytes, size_t size, uint32_t version,
                                      const struct section_record *tensors, const struct section_record *weights)
{
    struct tensor_record tensor;
    for (uint64_t at = 0; tensors->bytes - at >= sizeof tensor; at += sizeof tensor) {
        uint8_t *place = bytes + tensors->offset + at;
        memcpy(&tensor, place, sizeof tensor);
        if (!model_inside(tensor.offset, tensor.bytes, weights->bytes) ||
            !model_inside(weights->offset, weights->bytes, size))
            continue;
        tensor.checksum = model_checksum(version, bytes + weights->offset + tensor.offset, tensor.bytes);
        memcpy(place, &tensor, sizeof tensor);
    }
}

static inline void model_seal_packs(uint8_t *bytes, size_t size, const struct section_record *packs,
                                    const struct section_record *packed)
{
    struct pack_record pack;
    for (uint64_t at = 0; packs->bytes - at >= sizeof pack; at += sizeof pack) {
        uint8_t *place = bytes + packs->offset + at;
        memcpy(&pack, place, sizeof pack);
        if (!model_inside(pack.offset, pack.bytes, packed->bytes) || !model_inside(packed->offset, packed->bytes, size))
            continue;
        pack.checksum = xxh3(bytes + packed->offset + pack.offset, pack.bytes);
        memcpy(place, &pack, sizeof pack);
    }
}

/* The record of a section that lies inside the file. */
static inline bool model_find_section(const uint8_t *bytes, size_t size, uint32_t count, enum model_section kind,
                                      struct section_record *record)
{
    for (uint32_t i = 0; i < count; i++) {
        memcpy(record, bytes + sizeof(struct model_header) + i * sizeof *record, sizeof *record);
        if (memcmp(record->type, model_section_types[kind].type, sizeof record->type) == 0 &&
            model_inside(record->offset, record->bytes, size))
            return true;
    }
    return false;
}

static inline void model_seal(uint8_t *bytes, size_t size)
{
    struct model_header header;
    struct section_record record, weights;
    if (size < sizeof header)
        return;
    memcpy(&header, bytes, sizeof header);
    memcpy(header.magic, MODEL_MAGIC, sizeof header.magic);
    header.file_bytes = size;
    uint32_t version = header.format_version, count = header.section_count;
    uint32_t most = (uint32_t)((size - sizeof header) / sizeof record);
    count = count < most ? count : most;
    if (model_find_section(bytes, size, count, SECTION_TENSORS, &record) &&
        model_find_section(bytes, size, count, SECTION_WEIGHTS, &weights))
        model_seal_tensors(bytes, size, version, &record, &weights);
    if (model_find_section(bytes, size, count, SECTION_PACKS, &record) &&
        model_find_section(bytes, size, count, SECTION_PACKED, &weights))
        model_seal_packs(bytes, size, &record, &weights);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *place = bytes + sizeof header + i * sizeof record;
        memcpy(&record, place, sizeof record);
        if (!model_inside(record.offset, record.bytes, size))
            continue;
        record.checksum =
            record.flags & SECTION_IN_PARTS ? 0 : model_checksum(version, bytes + record.offset, (size_t)record.bytes);
        memcpy(place, &record, sizeof record);
    }
    header.table_checksum = model_checksum(version, bytes + sizeof header, count * sizeof record);
    header.header_checksum = model_checksum(version, &header, offsetof(struct model_header, header_checksum));
    memcpy(bytes, &header, sizeof header);
}

#endif
