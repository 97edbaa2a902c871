/* What x86 kernels do to their results before they store them (kernels/epilogue.h). */
#ifndef INFER_KERNELS_X86_EPILOGUE_H
#define INFER_KERNELS_X86_EPILOGUE_H

#include "kernels/epilogue.h"
#include "kernels/x86/vector.h"

/* Stores a tile. form: that of the program, or NULL where it has none. Results are those of epilogue_apply_form, but
 * that activations are those of vector_math.h, whatever the instruction set. Best where results and output lie without
 * gaps along the inner axis (columns; rows if tile->down) and there are some thousand of them: what a call costs beside
 * is about 20 elements for each operation. */
void SET_NAME(epilogue_store)(const struct epilogue *epilogue, const struct epilogue_form *form,
                              const struct kernel_call *call, const struct epilogue_tile *tile, void *workspace);
/* Bytes of workspace that it needs, a multiple of ALIGNMENT. */
size_t SET_NAME(epilogue_store_bytes)(const struct epilogue *epilogue, const struct epilogue_form *form);

#endif
