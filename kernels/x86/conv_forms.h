/* Orders in which kernels of the family conv pack their weights: packs of one form are shared among kernels. */
#ifndef INFER_KERNELS_X86_CONV_FORMS_H
#define INFER_KERNELS_X86_CONV_FORMS_H

enum conv_form {
    CONV_FORM_PANELS = 1,
    CONV_FORM_REMAINDERS,
    CONV_FORM_MERGED_REMAINDERS,
    CONV_FORM_CHANNELS_FIRST,
    CONV_FORM_WINOGRAD,
    CONV_FORM_PANELS_I8,
    CONV_FORM_DEPTHWISE_I8 = 8 /* 7 said as well whether pairs fit */
};

#endif
