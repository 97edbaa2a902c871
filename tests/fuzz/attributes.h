/* Attributes that operators read, for fuzz_run: "KIND:NAME" words for a list of operators, and texts that mean
 * something to attributes of kind s and S. Kinds: i int, f float, s string, t tensor, g graph; capitals are lists. */
#ifndef INFER_TESTS_FUZZ_ATTRIBUTES_H
#define INFER_TESTS_FUZZ_ATTRIBUTES_H

struct word_list {
    const char *of, *words;
};

static const struct word_list attribute_words[] = {
    {"Adagrad", "f:decay_factor f:epsilon f:norm_coefficient"},
    {"Adam", "f:alpha f:beta f:epsilon f:norm_coefficient f:norm_coefficient_post"},
    {"ArgMax ArgMin", "i:axis i:keepdims i:select_last_index"},
    {"Attention",
     "i:is_causal i:kv_num_heads i:left_window_size i:q_num_heads i:qk_matmul_output_mode i:right_window_size "
     "f:scale f:softcap i:softmax_precision"},
    {"AveragePool LpPool MaxPool",
     "s:auto_pad i:ceil_mode i:count_include_pad I:dilations I:kernel_shape i:p I:pads i:storage_order I:strides"},
    {"BatchNormalization", "f:epsilon f:momentum i:spatial i:training_mode"},
    {"Bernoulli EyeLike Multinomial RandomNormal RandomNormalLike RandomUniform RandomUniformLike",
     "i:dtype f:high i:k f:low f:mean i:sample_size f:scale f:seed I:shape"},
    {"BitCast Cast CastLike", "s:round_mode i:saturate i:to"},
    {"BitShift", "s:direction"},
    {"CausalConvWithState", "s:activation"},
    {"Celu Elu HardSigmoid LeakyRelu Selu Shrink SwiGLU Swish ThresholdedRelu",
     "f:alpha f:beta f:bias f:gamma f:lambd"},
    {"CenterCropPad MeanVarianceNormalization Squeeze Unsqueeze", "I:axes"},
    {"Clip", "f:max f:min"},
    {"Compress Concat Flatten Gather GatherElements Hardmax LogSoftmax OneHot Scatter Softmax", "i:axis"},
    {"Constant", "t:value f:value_float F:value_floats i:value_int I:value_ints"},
    {"ConstantOfShape", "t:value"},
    {"Conv ConvInteger ConvTranspose DeformConv QLinearConv",
     "s:auto_pad I:dilations i:group I:kernel_shape i:offset_group I:output_padding I:output_shape I:pads I:strides"},
    {"CumProd CumSum", "i:exclusive i:reverse"},
    {"DepthToSpace SpaceToDepth", "i:blocksize s:mode"},
    {"DequantizeLinear QuantizeLinear", "i:axis i:block_size i:output_dtype i:precision i:saturate"},
    {"DFT STFT", "i:axis i:inverse i:onesided"},
    {"Dropout", "i:seed"},
    {"Einsum", "s:equation"},
    {"FlexAttention", "g:score_mod g:prob_mod f:scale i:softmax_precision i:q_num_heads i:kv_num_heads"},
    {"GRU LSTM RNN",
     "F:activation_alpha F:activation_beta S:activations f:clip s:direction i:hidden_size i:input_forget i:layout "
     "i:linear_before_reset"},
    {"GatherND", "i:batch_dims"},
    {"Gelu", "s:approximate"},
    {"Gemm", "f:alpha f:beta i:transA i:transB"},
    {"GlobalLpPool LRN LpNormalization", "f:alpha i:axis f:beta f:bias i:p i:size"},
    {"GridSample", "i:align_corners s:mode s:padding_mode"},
    {"AffineGrid", "i:align_corners"},
    {"GroupNormalization InstanceNormalization LayerNormalization RMSNormalization", "i:axis f:epsilon i:num_groups"},
    {"HammingWindow HannWindow BlackmanWindow MelWeightMatrix", "i:output_datatype i:periodic"},
    {"Col2Im", "I:dilations I:pads I:strides"},
    {"If", "g:then_branch g:else_branch"},
    {"IsInf", "i:detect_negative i:detect_positive"},
    {"LinearAttention", "i:kv_num_heads i:q_num_heads f:scale s:update_rule"},
    {"Loop", "i:captures g:body"},
    {"MaxRoiPool RoiAlign",
     "s:coordinate_transformation_mode s:mode i:output_height i:output_width I:pooled_shape i:sampling_ratio "
     "f:spatial_scale"},
    {"MaxUnpool", "I:kernel_shape I:pads I:strides"},
    {"Mod", "i:fmod"},
    {"Momentum", "f:alpha f:beta f:norm_coefficient s:mode"},
    {"NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss", "i:ignore_index s:reduction"},
    {"NonMaxSuppression", "i:center_point_box"},
    {"Pad", "s:mode I:pads f:value"},
    {"ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum "
     "ReduceSumSquare",
     "I:axes i:keepdims i:noop_with_empty_axes"},
    {"Reshape", "i:allowzero I:shape"},
    {"Resize Upsample",
     "i:antialias I:axes s:coordinate_transformation_mode f:cubic_coeff_a i:exclude_outside f:extrapolation_value "
     "s:keep_aspect_ratio_policy s:mode s:nearest_mode F:scales"},
    {"ReverseSequence", "i:batch_axis i:time_axis"},
    {"RotaryEmbedding", "i:interleaved i:num_heads i:rotary_embedding_dim"},
    {"Scan", "i:num_scan_inputs I:scan_input_axes I:scan_input_directions I:scan_output_axes I:scan_output_directions "
             "g:body i:captures"},
    {"ScaledDotProductAttention", "i:blind_is_zero i:first i:last f:scale f:softcap"},
    {"ScatterElements ScatterND TensorScatter", "i:axis s:mode s:reduction"},
    {"Shape", "i:end i:start"},
    {"Slice", "I:axes I:ends I:starts"},
    {"Split", "i:axis i:num_outputs I:split"},
    {"TopK Unique", "i:axis i:k i:largest i:sorted"},
    {"Transpose", "I:perm"},
    {"Trilu", "i:upper"},
};

static const struct word_list attribute_texts[] = {
    {"auto_pad", "NOTSET SAME_UPPER SAME_LOWER VALID"},
    {"direction", "forward reverse bidirectional LEFT RIGHT"},
    {"mode", "linear cubic nearest constant edge reflect wrap avg max DCR CRD circular standard nesterov bilinear"},
    {"padding_mode", "zeros border reflection"},
    {"reduction", "none mean sum add mul min max"},
    {"coordinate_transformation_mode",
     "half_pixel asymmetric align_corners pytorch_half_pixel tf_crop_and_resize tf_half_pixel_for_nn "
     "half_pixel_symmetric output_half_pixel"},
    {"nearest_mode", "floor ceil round_prefer_floor round_prefer_ceil"},
    {"keep_aspect_ratio_policy", "stretch not_larger not_smaller"},
    {"approximate", "none tanh"},
    {"round_mode", "up down nearest"},
    {"activation", "none silu swish"},
    {"update_rule", "linear gated delta gated_delta"},
    {"activations", "Relu Tanh Sigmoid Affine LeakyRelu ThresholdedRelu ScaledTanh HardSigmoid Elu Softsign Softplus"},
    {"equation", "ij,jk->ik ij,jk ii->i ii i,j->ij ...ij,...jk->...ik bij,bkj->bik i-> ->i ij->ji ...->... iij,j->"},
};

#endif
